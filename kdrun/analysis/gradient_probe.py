"""Comparison of the soft and hard loss gradients at the student's logits."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.analysis.inputs import (
    check_same_shape,
    checked_temperatures,
    class_indices,
    finite_table,
)
from kdrun.losses import ensemble_probabilities
from kdrun.losses.temperature import softmax_with_temperature

SMALLEST_NORM = 1e-150


@dataclass(frozen=True)
class GradientProbe:
    """Gradients of the losses on each sample's logits: means over samples at each T.

    `soft_norm` is the norm of the gradient T (q - p) of T^2 KL; `hard_norm` is the norm of the
    cross-entropy's gradient, independent of T. `cosine` compares their directions: T^2 keeps the
    soft gradient from shrinking but does not make the two proportional.
    """

    temperatures: tuple[float, ...]
    soft_norm: tuple[float, ...]
    hard_norm: float
    ratio: tuple[float, ...]
    """soft_norm / hard_norm."""
    cosine: tuple[float, ...]
    negative_share: tuple[float, ...]
    """Share of samples with a negative cosine."""

    @property
    def unscaled_norm(self) -> tuple[float, ...]:
        """Norm without the factor T^2; decays as 1/T^2."""
        pairs = zip(self.soft_norm, self.temperatures, strict=True)
        return tuple(norm / T / T for norm, T in pairs)  # T^2 may underflow


def gradient_probe(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperatures: Iterable[float]
) -> GradientProbe:
    """Compute closed-form gradients of the soft and hard loss on (N, K) student logits, over T.

    (N,) class indices; each T in (0, 1000] or inf. A gradient of 0 has cosine 0.
    """
    return ensemble_gradient_probe(student_logits, [teacher_logits], labels, temperatures)


def ensemble_gradient_probe(
    student_logits: Tensor,
    teacher_logits: Sequence[Tensor],
    labels: Tensor,
    temperatures: Iterable[float],
    weights: Sequence[float] | None = None,
) -> GradientProbe:
    """Run `gradient_probe` against the mean of the teachers' probabilities at each T.

    Args:
        student_logits: (N, K).
        teacher_logits: (N, K) of each teacher.
        labels: (N,) class indices.
        temperatures: each in (0, 1000] or inf.
        weights: of the teachers, as of `ensemble_probabilities`.
    """
    for logits in teacher_logits:
        check_same_shape(student_logits, logits)
    student = finite_table("student_logits", student_logits)
    teachers = [finite_table("teacher_logits", logits) for logits in teacher_logits]
    hard = _hard_gradient(student, class_indices(labels, student))
    hard_norm = hard.norm(dim=1).mean()
    grid = checked_temperatures(temperatures)
    rows = []
    for T in grid:
        soft = _soft_gradient(student, teachers, T, weights)
        norm, cosines = soft.norm(dim=1).mean(), _cosines(soft, hard)
        rows.append((norm, norm / hard_norm, cosines.mean(), (cosines < 0).double().mean()))
    norms, ratios, cosine, negative = (
        tuple(torch.stack(column).tolist()) for column in zip(*rows, strict=True)
    )
    return GradientProbe(grid, norms, hard_norm.item(), ratios, cosine, negative)


def _soft_gradient(
    student: Tensor, teachers: Sequence[Tensor], T: float, weights: Sequence[float] | None
) -> Tensor:
    """T (q - p) of each sample, or its limit at T = inf."""
    if math.isinf(T):
        shares = torch.tensor(weights or [1.0] * len(teachers), dtype=student.dtype)
        mean = torch.tensordot(shares / shares.sum(), torch.stack(list(teachers)), dims=1)
        difference = student - mean
        return (difference - difference.mean(dim=1, keepdim=True)) / student.shape[1]
    return T * (softmax_with_temperature(student, T) - ensemble_probabilities(teachers, T, weights))


def _hard_gradient(student: Tensor, labels: Tensor) -> Tensor:
    """q - y of each sample."""
    # Minus the sum of the others, because q - 1 of a confident student would cancel.
    others = softmax_with_temperature(student, 1.0).scatter(1, labels[:, None], 0.0)
    return others.scatter(1, labels[:, None], -others.sum(dim=1, keepdim=True))


def _cosines(x: Tensor, y: Tensor) -> Tensor:
    x, y = F.normalize(x, dim=1, eps=SMALLEST_NORM), F.normalize(y, dim=1, eps=SMALLEST_NORM)
    return (x * y).sum(dim=1)
