"""Representation similarity of two models' features, of any widths."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.analysis.inputs import finite_table
from kdrun.losses import ProjectionFit

# Relative deviations below this are rounding errors of float64 sums.
ROUNDING = 1e-12


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of (N, d1) and (N, d2), in [0, 1] (Kornblith et al., 2019).

    Invariant to rotation and scaling of either. 0 for constant features.
    """
    x, y = _centred_features(x, y)
    if len(x) <= max(x.shape[1], y.shape[1]):
        gram_x, gram_y = x @ x.T, y @ y.T
        common = (gram_x * gram_y).sum()
    else:
        gram_x, gram_y = x.T @ x, y.T @ y
        common = (x.T @ y).square().sum()
    scale = gram_x.norm() * gram_y.norm()
    return (common / scale).item() if scale > 0 else 0.0


def relation_similarity(x: Tensor, y: Tensor) -> float:
    """Pearson's correlation of the distances between samples in (N, d1) and in (N, d2), N >= 3.

    The relation that the RKD distance loss matches; 1 if they are equal up to rotation, shift and
    scale, 0 if one is constant.
    """
    x, y = _centred_features(x, y)
    if len(x) < 3:
        raise ValueError(f"distances of {len(x)} samples have no correlation: give at least 3")
    student, teacher = (_deviations(torch.pdist(features)) for features in (x, y))
    return (F.normalize(student, dim=0) @ F.normalize(teacher, dim=0)).item()


def unexplained_share(teacher_hidden: Tensor, student_hidden: Tensor) -> float:
    """1 - R^2 of the best affine projection of (N, d_T) teacher to (N, d_S) student states.

    The projection is fitted on the same samples, so use many more than d_T of them.
    """
    teacher, student = _centred_features(teacher_hidden, student_hidden)
    fit = ProjectionFit(teacher.shape[1], student.shape[1])
    fit.update(teacher, student)
    return fit.solve().unexplained


def _centred_features(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    first, second = finite_table("features", x), finite_table("features", y)
    if len(first) != len(second):
        raise ValueError(
            f"features must be (N, d) of the same samples, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        )
    return _deviations(first), _deviations(second)


def _deviations(values: Tensor) -> Tensor:
    """Values minus their mean over the first dimension; exactly 0 for constant columns."""
    mean = values.mean(dim=0)
    deviations = values - mean
    # Rounding of the mean would otherwise count as variation.
    return deviations.where(deviations.abs().amax(dim=0) > ROUNDING * mean.abs(), 0.0)
