"""The terms of a loss mixture: effective weights, and how they read."""

from dataclasses import replace

from kdrun.config.schema import LossConfig


def term_weights(loss: LossConfig) -> dict[str, float]:
    """The effective weight of every term of the mixture; terms of weight 0 are left out."""
    soft = loss.alpha if loss.weights.soft is None else loss.weights.soft
    hard = 1 - loss.alpha if loss.weights.hard is None else loss.weights.hard
    weights = {"soft": 0.0 if loss.soft == "none" else soft, "hard": hard}
    return {term: weight for term, weight in weights.items() if weight > 0}


def needs_teacher(loss: LossConfig) -> bool:
    """Whether any term of the mixture looks at the teacher."""
    return set(term_weights(loss)) != {"hard"}


def labels_only(loss: LossConfig) -> LossConfig:
    """The loss of a plain training run with the same label smoothing."""
    return replace(
        loss, soft="none", alpha=0.0, weights=replace(loss.weights, soft=None, hard=None)
    )


def mixture(loss: LossConfig) -> str:
    """`0.9 kl(T=4) + 0.1 cross-entropy`, so that nobody has to guess what alpha means."""
    names = {"hard": "cross-entropy", "soft": f"{loss.soft}(T={loss.T:g})"}
    return " + ".join(f"{weight:.3g} {names[term]}" for term, weight in term_weights(loss).items())
