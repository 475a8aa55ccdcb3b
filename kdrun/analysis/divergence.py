"""Detection of diverged training: a loss far above its start."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kdrun.catalog.terms import LABELS

FIVEFOLD, TENFOLD = 5.0, 10.0
ENDS_ABOVE = 2.0
"""Ratio of the last loss to the start above which training has diverged."""


def divergence(epochs: Sequence[Mapping[str, Any]], classes: int) -> str | None:
    """Describe a diverged loss as a predicate of a sentence; None for a normal training.

    The labels' cross-entropy starts near log K for any network. Without that term the total loss
    is compared with the first epoch's, over epochs of equal temperature and weights, if the
    training accuracy fell.

    Args:
        epochs: the lines of a stage in `metrics.jsonl`.
        classes: K.
    """
    if not epochs:
        return None
    right = _mostly_right(epochs[-1], classes)
    if all(LABELS in line["terms"] for line in epochs):
        values = [float(line["terms"][LABELS]["raw"]) for line in epochs]
        return _risen("label loss", values, math.log(classes), "guessing gives", FIVEFOLD, right)
    first = epochs[0]
    comparable = [line for line in epochs if _scale(line) == _scale(first)]
    if comparable[-1]["train_accuracy"] > first["train_accuracy"]:
        return None
    losses = [line["loss"] for line in comparable]
    return _risen("loss", losses, first["loss"], "it started at", TENFOLD, right)


def _mostly_right(line: Mapping[str, Any], classes: int) -> bool:
    """Whether a possibly overconfident model still classifies most images correctly."""
    accuracies = [line["train_accuracy"], line.get("validation_accuracy")]
    return max(value for value in accuracies if value is not None) > (1 + 1 / classes) / 2


def _risen(
    name: str, values: Sequence[float], start: float, beginning: str, times: float, right: bool
) -> str | None:
    highest, last = max(values), values[-1]
    if last > ENDS_ABOVE * start and not right:
        return f"diverged: its {name} ended at {last:.4g}, while {beginning} {start:.3g}"
    if highest > times * start:
        when = values.index(highest) + 1
        return f"nearly diverged: its {name} rose to {highest:.4g} in epoch {when}, while " + (
            f"{beginning} {start:.3g}"
        )
    return None


def _scale(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """Settings that scale the loss: T and the terms' weights."""
    return line["T"], tuple((name, term["weight"]) for name, term in line["terms"].items())
