"""Loss mixture: active terms with weights and options, and the formula as text."""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from kdrun.catalog.term_row import Reads, Temperature, Term
from kdrun.catalog.terms import LABELS, TERMS, section_of, soft_names
from kdrun.config.schema import CacheConfig, LossConfig
from kdrun.store.files import json_number


@dataclass(frozen=True)
class ActiveTerm:
    """A term of the mixture with a weight above 0.

    Attributes:
        name: name of the row.
        weight: effective weight, above 0.
        options: options with defaults from `loss` filled in; `T` is None if the term follows the
            temperature schedule.
    """

    name: str
    weight: float
    options: dict[str, Any]

    @property
    def row(self) -> Term:
        """The row of the catalog."""
        return TERMS[self.name]

    @property
    def follows_schedule(self) -> bool:
        """Whether the term reads the scheduled T."""
        return self.row.temperature is not Temperature.NONE and self.options["T"] is None

    def T(self, loss: LossConfig) -> float | None:
        """Return the initial T; None for a term without T."""
        if self.row.temperature is Temperature.NONE:
            return None
        own: float | None = self.options["T"]
        return loss.T if own is None else own


def active_terms(loss: LossConfig) -> dict[str, ActiveTerm]:
    """Return the terms with a weight above 0, in the order of the catalog."""
    weights = {name: term_weight(loss, name) for name in TERMS}
    return {
        name: ActiveTerm(name, weight, term_options(loss, name))
        for name, weight in weights.items()
        if weight > 0
    }


def term_weights(loss: LossConfig) -> dict[str, float]:
    """Return the weight of every active term."""
    return {name: term.weight for name, term in active_terms(loss).items()}


def term_weight(loss: LossConfig, name: str) -> float:
    """Return the effective weight of a term; 0 if the term is not in the mixture.

    alpha is the weight of soft terms and 1 - alpha that of the labels; 1 without a soft term.
    """
    if name == LABELS:
        alpha = loss.alpha if any(chosen_soft_terms(loss)) else 0.0
        return 1 - alpha if loss.weights.hard is None else loss.weights.hard
    if not TERMS[name].soft:
        return given_weight(loss, name) or 0.0
    if name not in chosen_soft_terms(loss):
        return 0.0
    given = given_weight(loss, name) or None
    shared = loss.alpha if loss.weights.soft is None else loss.weights.soft
    return shared if given is None else given


def given_weight(loss: LossConfig, name: str) -> float | None:
    """Return the weight given in the term's section; None if `loss` sets the weight."""
    weight: float | None = getattr(getattr(loss, section_of(name)), TERMS[name].weight)
    return weight


def chosen_soft_terms(loss: LossConfig) -> list[str]:
    """Return the soft terms: the one named by loss.soft, or all with a weight."""
    if loss.soft is not None:
        return [] if loss.soft == "none" else [soft_names()[loss.soft]]
    return [name for name, row in TERMS.items() if row.soft and given_weight(loss, name) != 0]


def term_options(loss: LossConfig, name: str) -> dict[str, Any]:
    """Return the term's options without its weight, with null replaced by the value of `loss`."""
    row = TERMS[name]
    section = getattr(loss, section_of(name), None)
    options = {key: getattr(section, key) for key in row.options if key != row.weight}
    if options.get("standardize", False) is None:
        options["standardize"] = loss.standardize
    return options | {key: getattr(loss, key) for key in row.shared}


def as_namespace(options: dict[str, Any]) -> SimpleNamespace:
    """Return options in the form that a term's code reads."""
    return SimpleNamespace(**options)


def needs_teacher(loss: LossConfig) -> bool:
    """Whether any term of the mixture reads the teacher."""
    return any(term.row.needs_teacher for term in active_terms(loss).values())


def looks_inside(loss: LossConfig) -> bool:
    """Whether any term of the mixture reads more of the teacher than its logits."""
    return any(term.row.looks_inside for term in active_terms(loss).values())


def reads(loss: LossConfig, what: Reads) -> list[str]:
    """Return the terms of the mixture with this input."""
    return [name for name, term in active_terms(loss).items() if term.row.reads & what]


def uses_temperature(loss: LossConfig) -> bool:
    """Whether any term of the mixture reads the scheduled T."""
    return any(term.follows_schedule for term in active_terms(loss).values())


def cache_encoding(loss: LossConfig, cache: CacheConfig) -> tuple[str, int | None] | None:
    """Return type and top-k of the stored teacher logits; None without a cache."""
    if cache.mode == "off" or not needs_teacher(loss) or looks_inside(loss):
        return None
    return ("float32", None) if cache.mode == "auto" else (cache.dtype, cache.topk)


def cache_identity(loss: LossConfig, cache: CacheConfig) -> dict[str, Any]:
    """Return the cache options that change a result: number of views, lossy encodings."""
    changed: dict[str, Any] = {"views": cache.views} if cache.views else {}
    encoding = cache_encoding(loss, cache)
    if encoding not in (None, ("float32", None)):
        changed |= {"dtype": cache.dtype, "topk": cache.topk}
    return changed


def labels_only(loss: LossConfig) -> LossConfig:
    """Return the loss of a plain training run with the same label smoothing."""
    off: dict[str, Any] = {}
    for name, row in TERMS.items():
        if row.options:
            section = off.get(section_of(name), getattr(loss, section_of(name)))
            off[section_of(name)] = replace(section, **{row.weight: 0.0})
    weights = replace(loss.weights, soft=None, hard=None)
    return replace(loss, soft="none", alpha=0.0, weights=weights, **off)


def mixture_identity(loss: LossConfig) -> dict[str, Any]:
    """Return the weight and all options of every active term, for the stage's hash."""
    return {
        name: {"weight": term.weight} | {key: _plain(one) for key, one in term.options.items()}
        for name, term in active_terms(loss).items()
    }


def _plain(value: Any) -> Any:
    return json_number(value) if isinstance(value, float) else value


def mixture(loss: LossConfig, T: str | None = None) -> str:
    """Return the formula with effective weights: `0.9 kl(T=4) + 0.1 cross-entropy`.

    Args:
        T: text for the scheduled T in place of `loss.T`.
    """
    return " + ".join(_formula(loss, term, T) for term in active_terms(loss).values())


def _formula(loss: LossConfig, term: ActiveTerm, T: str | None) -> str:
    label = term.row.label
    if (number := term.T(loss)) is not None:
        label += f"(T={T if T and term.follows_schedule else format(number, 'g')})"
    standardized = "standardized " if term.options.get("standardize") else ""
    return f"{term.weight:.3g} {standardized}{label}"
