"""Closed-form least-squares projection from teacher to student, fitted over batches."""

from typing import NamedTuple

import torch
from torch import Tensor

from kdrun.losses.inputs import check_some, full_precision

# Eigenvalues below this share of the largest are rounding error (float32 features, float64 sums).
RANK_TOLERANCE = 1e-12


class Projection(NamedTuple):
    """student ≈ teacher @ weight.T + bias; weight (d_S, d_T), bias (d_S,) or None."""

    weight: Tensor
    bias: Tensor | None
    unexplained: float
    """1 - R²: with a bias of the squares about the mean, without one of the squares about 0."""


class ProjectionFit:
    """Float64 sums over batches for the least-squares projection from teacher to student.

    Squares are taken about the running mean, so that features far from 0 lose no digits.
    """

    def __init__(
        self, teacher_width: int, student_width: int, device: torch.device | str = "cpu"
    ) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.count = 0
        self.teacher_mean, self.student_mean = zeros(teacher_width), zeros(student_width)
        self.teacher_gram = zeros(teacher_width, teacher_width)
        self.cross_gram = zeros(teacher_width, student_width)
        self.student_squares = zeros()

    def update(self, teacher_hidden: Tensor, student_hidden: Tensor) -> None:
        """Add a batch of (N, d_T) and (N, d_S) hidden states of the same samples."""
        if teacher_hidden.ndim != 2 or student_hidden.shape[:-1] != teacher_hidden.shape[:1]:
            raise ValueError(
                f"hidden states must be (N, d) of the same samples, got "
                f"{tuple(teacher_hidden.shape)} and {tuple(student_hidden.shape)}"
            )
        check_some("hidden states", teacher_hidden)
        teacher, student = teacher_hidden.detach().double(), student_hidden.detach().double()
        teacher_shift = teacher.mean(dim=0) - self.teacher_mean
        student_shift = student.mean(dim=0) - self.student_mean
        teacher = teacher - teacher.mean(dim=0)
        student = student - student.mean(dim=0)

        total = self.count + len(teacher)
        between = self.count * len(teacher) / total
        self.teacher_gram += teacher.T @ teacher + between * teacher_shift.outer(teacher_shift)
        self.cross_gram += teacher.T @ student + between * teacher_shift.outer(student_shift)
        self.student_squares += student.square().sum() + between * student_shift.square().sum()
        self.teacher_mean += teacher_shift * (len(teacher) / total)
        self.student_mean += student_shift * (len(teacher) / total)
        self.count = total

    def solve(self, ridge: float = 0.0, affine: bool = False) -> Projection:
        """The projection that minimises squared error + ridge * ||weight||², in float64.

        The error is summed over samples; the bias is not penalised. Several minima: the one of
        least norm. ValueError if a hidden state was not finite.
        """
        assert self.count > 0, "solve() before update()"
        if not ridge >= 0:
            raise ValueError(f"ridge must be at least 0, got {ridge}")
        gram, cross, squares = self.teacher_gram, self.cross_gram, self.student_squares
        # A non-finite hidden state makes each of them nan or inf.
        if not (gram.sum() + cross.sum() + squares).isfinite():
            raise ValueError("hidden states must be finite, got nan or inf")
        if not affine:
            gram = gram + self.count * self.teacher_mean.outer(self.teacher_mean)
            cross = cross + self.count * self.teacher_mean.outer(self.student_mean)
            squares = squares + self.count * self.student_mean.square().sum()
        values, vectors = torch.linalg.eigh(gram)
        # Dead units make the Gram matrix singular: a plain inverse would divide by rounding errors.
        kept = values > RANK_TOLERANCE * values[-1]
        inverse = torch.where(kept, 1 / (values + ridge), 0.0)
        weight = (vectors * inverse @ (vectors.T @ cross)).T
        residual = squares - 2 * (weight.T * cross).sum() + ((weight @ gram) * weight).sum()
        unexplained = (residual / squares).clamp_min(0).item() if squares > 0 else 0.0
        bias = self.student_mean - weight @ self.teacher_mean if affine else None
        return Projection(weight, bias, unexplained)


def fit_projection(
    teacher_hidden: Tensor, student_hidden: Tensor, ridge: float = 0.0, affine: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Least-squares weight (d_S, d_T) and bias (d_S,), the bias None unless affine.

    Minimises ||h_S - W h_T - b||² + ridge * ||W||² summed over the rows of (N, d_T) and (N, d_S);
    of several minima the one of least norm; without gradient.
    """
    fit = ProjectionFit(teacher_hidden.shape[-1], student_hidden.shape[-1], teacher_hidden.device)
    fit.update(teacher_hidden, student_hidden)
    weight, bias, _ = fit.solve(ridge, affine)
    dtype = full_precision(student_hidden)[0].dtype
    return weight.to(dtype), None if bias is None else bias.to(dtype)
