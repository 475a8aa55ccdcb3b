"""Methods by which T is chosen from a teacher (temperature.method)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kdrun.analysis.temperature_evidence import evidence, guideline, most_dark_knowledge
from kdrun.catalog.schedules import TEMPERATURE_METHODS

PILOTS = (1.0, 2.0, 4.0, 8.0)
"""Temperatures of the pilot stages of method=search."""


@dataclass(frozen=True)
class Evidence:
    """What T is chosen from.

    Attributes:
        logits: (N, K) of the teacher on training images.
        labels: (N,) theirs.
        measures: of `evidence` and `guideline`.
        pilot: T -> validation accuracy of a short training at it.
    """

    logits: Tensor
    labels: Tensor
    measures: Mapping[str, Any]
    pilot: Callable[[float], float]


Selected = tuple[float, dict[str, Any]]
"""T, and the measures that the method adds."""


def by_guideline(found: Evidence) -> Selected:
    """T by the teacher's entropy, with guards against noise and label smoothing."""
    return found.measures["guideline"], {}


def by_formula(found: Evidence) -> Selected:
    """T by the square root of the ratio of entropies."""
    return found.measures["formula_clipped"], {}


def by_dark_knowledge(found: Evidence) -> Selected:
    """T of the most dark knowledge; the guideline's where that is at an end of the grid."""
    curve = most_dark_knowledge(found.logits, found.labels)
    return curve["interior_maximum"] or found.measures["guideline"], curve


def by_pilots(found: Evidence) -> Selected:
    """T of the short training that validates best; of equal ones the lowest."""
    accuracies = {T: found.pilot(T) for T in PILOTS}
    pilots = [{"T": T, "validation": value} for T, value in accuracies.items()]
    return max(accuracies, key=lambda T: accuracies[T]), {"pilots": pilots}


def choose(
    method: str,
    logits: Tensor,
    labels: Tensor,
    *,
    label_counts: Sequence[int],
    label_noise: float,
    label_smoothing: float,
    pilot: Callable[[float], float],
    **own: Any,
) -> dict[str, Any]:
    """The chosen `T` and everything it was chosen from.

    Args:
        method: a row of `TEMPERATURE_METHODS`.
        logits: (N, K) of the teacher on training images.
        labels: (N,) theirs.
        label_counts: how often each label occurs in the training data.
        label_noise: the stated share of wrong labels.
        label_smoothing: that the teacher was trained with.
        pilot: T -> validation accuracy of a short training at it.
        own: options that the method's row adds.
    """
    measures = evidence(logits, labels, label_counts, label_noise)
    measures |= guideline(measures, label_smoothing)
    select = TEMPERATURE_METHODS[method].load()
    T, added = select(Evidence(logits, labels, measures, pilot), **own)
    # To a hundredth, so that rounding on another machine makes no other stage of it.
    return {"method": method, "T": round(T, 2)} | measures | added
