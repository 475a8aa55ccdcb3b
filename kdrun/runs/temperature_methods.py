"""Methods for choosing T from a teacher (temperature.method)."""

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
    """Evidence for choosing T.

    Attributes:
        logits: (N, K) teacher logits on training images.
        labels: (N,) labels of these images.
        measures: results of `evidence` and `guideline`.
        pilot: T -> validation accuracy of a short training.
    """

    logits: Tensor
    labels: Tensor
    measures: Mapping[str, Any]
    pilot: Callable[[float], float]


Selected = tuple[float, dict[str, Any]]
"""T, and the method's additional measures."""


def by_guideline(found: Evidence) -> Selected:
    """Choose T by the teacher's entropy, with guards against noise and label smoothing."""
    return found.measures["guideline"], {}


def by_formula(found: Evidence) -> Selected:
    """Choose T as the square root of the ratio of entropies."""
    return found.measures["formula_clipped"], {}


def by_dark_knowledge(found: Evidence) -> Selected:
    """Choose T with the most dark knowledge; the guideline's if that is at an end of the grid."""
    curve = most_dark_knowledge(found.logits, found.labels)
    return curve["interior_maximum"] or found.measures["guideline"], curve


def by_pilots(found: Evidence) -> Selected:
    """Choose T of the pilot with the best validation accuracy; the lowest of equal ones."""
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
    """Return the chosen `T` and the evidence.

    Args:
        method: a row of `TEMPERATURE_METHODS`.
        logits: (N, K) teacher logits on training images.
        labels: (N,) labels of these images.
        label_counts: count of each label in the training data.
        label_noise: stated share of wrong labels.
        label_smoothing: label smoothing of the teacher's training.
        pilot: T -> validation accuracy of a short training.
        own: options added by the method's row.
    """
    measures = evidence(logits, labels, label_counts, label_noise)
    measures |= guideline(measures, label_smoothing)
    select = TEMPERATURE_METHODS[method].load()
    T, added = select(Evidence(logits, labels, measures, pilot), **own)
    # Rounded to 0.01, so that other rounding on another machine does not change the stage.
    return {"method": method, "T": round(T, 2)} | measures | added
