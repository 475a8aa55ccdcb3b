"""The loss mixture: effective weights and options of its terms, and its formula as text."""

from dataclasses import asdict, replace
from typing import Any

from kdrun.config.schema import CacheConfig, LossConfig

# Kinds of the soft term that have numbers of their own, which stand in the section of that name.
_WITH_OPTIONS = ("dkd", "dist", "nkd")
_TEMPERATURE_FREE = ("logit_mse", "hard")


def term_weights(loss: LossConfig) -> dict[str, float]:
    """The effective weight of every term of the mixture; terms of weight 0 are left out.

    alpha divides between the soft term and the labels; without a soft term the labels get 1.
    """
    alpha = 0.0 if loss.soft == "none" else loss.alpha
    soft, hard = loss.weights.soft, loss.weights.hard
    weights = {
        "soft": 0.0 if loss.soft == "none" else alpha if soft is None else soft,
        "hard": 1 - alpha if hard is None else hard,
        "hint": loss.hint.weight,
        "attention": loss.attention.weight,
        "distance": loss.rkd.distance,
        "angle": loss.rkd.angle,
    }
    return {term: weight for term, weight in weights.items() if weight > 0}


def needs_teacher(loss: LossConfig) -> bool:
    """Whether any term of the mixture looks at the teacher."""
    return set(term_weights(loss)) != {"hard"}


def uses_temperature(loss: LossConfig) -> bool:
    """Whether there is a soft term and it depends on T."""
    return "soft" in term_weights(loss) and loss.soft not in _TEMPERATURE_FREE


def looks_inside(loss: LossConfig) -> bool:
    """Whether any term looks at hidden states or attention maps."""
    return bool({"hint", "attention", "distance", "angle"} & set(term_weights(loss)))


def cache_encoding(loss: LossConfig, cache: CacheConfig) -> tuple[str, int | None] | None:
    """How the teacher's logits are stored: type and top-k; None where they are not."""
    if cache.mode == "off" or not needs_teacher(loss) or looks_inside(loss):
        return None
    return ("float32", None) if cache.mode == "auto" else (cache.dtype, cache.topk)


def cache_identity(loss: LossConfig, cache: CacheConfig) -> dict[str, Any]:
    """What of the cache's options changes a result: fewer views, and storing less than all bits."""
    changed: dict[str, Any] = {"views": cache.views} if cache.views else {}
    encoding = cache_encoding(loss, cache)
    if encoding not in (None, ("float32", None)):
        changed |= {"dtype": cache.dtype, "topk": cache.topk}
    return changed


def labels_only(loss: LossConfig) -> LossConfig:
    """The loss of a plain training run with the same label smoothing."""
    return replace(
        loss,
        soft="none",
        alpha=0.0,
        weights=replace(loss.weights, soft=None, hard=None),
        hint=replace(loss.hint, weight=0.0),
        attention=replace(loss.attention, weight=0.0),
        rkd=replace(loss.rkd, distance=0.0, angle=0.0),
    )


def soft_options(loss: LossConfig) -> dict[str, float]:
    """The numbers that the kind of soft term takes beside T."""
    if loss.soft not in _WITH_OPTIONS:
        return {}
    options = asdict(getattr(loss, loss.soft))
    options.pop("warmup_epochs", None)
    return options


def term_options(loss: LossConfig) -> dict[str, Any]:
    """All that the terms of the mixture depend on, and nothing of the terms that are not in it."""
    weights = term_weights(loss)
    options: dict[str, Any] = {"weights": weights, "label_smoothing": loss.label_smoothing}
    if "soft" in weights:
        options["soft"] = {"kind": loss.soft, "standardize": loss.standardize} | soft_options(loss)
        if loss.soft == "dkd":
            options["soft"]["warmup_epochs"] = loss.dkd.warmup_epochs
    for name, section in (("hint", loss.hint), ("attention", loss.attention)):
        if name in weights:
            options[name] = asdict(section)
    if {"distance", "angle"} & set(weights):
        options["relation_layer"] = loss.rkd.layer
    return options


def mixture(loss: LossConfig, T: str | None = None) -> str:
    """`0.9 kl(T=4) + 0.1 cross-entropy`, so that nobody has to guess what alpha means.

    Args:
        T: what to say of T where `loss.T` is not it.
    """
    soft = f"{loss.soft}(T={T or format(loss.T, 'g')})" if uses_temperature(loss) else loss.soft
    names = {"hard": "cross-entropy", "soft": f"standardized {soft}" if loss.standardize else soft}
    return " + ".join(
        f"{weight:.3g} {names.get(term, term)}" for term, weight in term_weights(loss).items()
    )
