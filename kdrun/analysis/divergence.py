"""Divergence of a training: a loss that rises far above where it began."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kdrun.catalog.terms import LABELS

FIVEFOLD, TENFOLD = 5.0, 10.0
ENDS_ABOVE = 2.0
"""By how many times the last loss lies above the start in a training that has not converged."""


def divergence(epochs: Sequence[Mapping[str, Any]], classes: int) -> str | None:
    """What a training's loss did, as a predicate of a sentence; None where it fell as it should.

    The labels' cross-entropy starts near log K whatever the network; without that term the whole
    loss is compared with the first epoch's, where temperature and weights are the same and the
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
        return _risen("label loss", values, math.log(classes), "guessing has", FIVEFOLD, right)
    first = epochs[0]
    alike = [line for line in epochs if _scale(line) == _scale(first)]
    if alike[-1]["train_accuracy"] > first["train_accuracy"]:
        return None
    losses = [line["loss"] for line in alike]
    return _risen("loss", losses, first["loss"], "it began at", TENFOLD, right)


def _mostly_right(line: Mapping[str, Any], classes: int) -> bool:
    """Whether a model that may be far too sure is right on most images all the same."""
    accuracies = [line["train_accuracy"], line.get("validation_accuracy")]
    return max(value for value in accuracies if value is not None) > (1 + 1 / classes) / 2


def _risen(
    name: str, values: Sequence[float], start: float, beginning: str, times: float, right: bool
) -> str | None:
    highest, last = max(values), values[-1]
    if last > ENDS_ABOVE * start and not right:
        return f"diverged: its {name} ended at {last:.4g}, where {beginning} {start:.3g}"
    if highest > times * start:
        when = values.index(highest) + 1
        return f"nearly diverged: its {name} rose to {highest:.4g} in epoch {when}, where " + (
            f"{beginning} {start:.3g}"
        )
    return None


def _scale(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the size of the loss depends on beside the outputs."""
    return line["T"], tuple((name, term["weight"]) for name, term in line["terms"].items())
