"""Evidence from a teacher's logits for the choice of T."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from kdrun.analysis.dark_knowledge import dark_knowledge_curve
from kdrun.analysis.entropy import entropy
from kdrun.analysis.temperature_guideline import (
    NOISY_FROM,
    auto_temperature,
    entropy_of_counts,
    formula_temperature,
    interior_maximum,
    memorised_noise,
    normalised_entropy,
    optimal_temperature,
)

GRID = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0)
"""Temperatures at which the dark knowledge is measured for method=cmi."""


def evidence(
    logits: Tensor, labels: Tensor, label_counts: Sequence[int], label_noise: float
) -> dict[str, Any]:
    """Measures for the choice of T, with the formula's T, recorded for every method.

    Args:
        logits: (N, K) of the teacher on training images.
        labels: (N,) of the same images, noise included.
        label_counts: frequency of each label in the training data.
        label_noise: the stated share of wrong labels.
    """
    teacher_entropy = float(entropy(logits.softmax(dim=1)).mean())
    label_entropy = entropy_of_counts(label_counts)
    accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
    return {
        "images": len(logits),
        "teacher_entropy": teacher_entropy,
        "u": normalised_entropy(teacher_entropy, logits.shape[1]),
        "label_entropy": label_entropy,
        "formula": optimal_temperature(teacher_entropy, label_entropy),
        "formula_clipped": formula_temperature(teacher_entropy, label_entropy),
        "label_noise": label_noise,
        "train_accuracy": accuracy,
        "noisy": label_noise >= NOISY_FROM,
        "memorised": label_noise >= NOISY_FROM and memorised_noise(accuracy, label_noise),
    }


def guideline(found: Mapping[str, Any], label_smoothing: float) -> dict[str, Any]:
    """T by the guideline, with its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        T = auto_temperature(
            found["u"],
            noisy=found["noisy"],
            memorised=found["memorised"],
            label_smoothed=label_smoothing > 0,
        )
    lines = [str(warning.message) for warning in caught]
    return {"label_smoothing": label_smoothing, "guideline": T, "warnings": lines}


def most_dark_knowledge(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """The dark knowledge over T, and the T of its interior maximum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes with few images: only the maximum matters
        curve = dark_knowledge_curve(logits, labels, GRID)
    values = {"temperatures": list(GRID), "dark_knowledge": list(curve.lower)}
    return values | {"interior_maximum": interior_maximum(GRID, curve.lower)}
