"""Losses between hidden states, and the layers and spatial sizes they compare."""

import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import check_reduction, full_precision, paired


def hint_loss(student_hidden: Tensor, teacher_hidden: Tensor, reduction: str = "mean") -> Tensor:
    """Squared difference of hidden states of one width (Romero et al., 2015), "mean" or "sum".

    Any shape; of (N, C, H, W) maps the larger is pooled to the smaller.
    """
    check_reduction(reduction, ("mean", "sum"))
    student, teacher = full_precision(student_hidden, teacher_hidden.detach())
    if student.ndim == teacher.ndim == 4:
        student, teacher = match_spatial(student, teacher)
    return F.mse_loss(*paired(student, teacher), reduction=reduction)


def match_spatial(student_map: Tensor, teacher_map: Tensor) -> tuple[Tensor, Tensor]:
    """Both (N, C, H, W) maps, averaged down to the smaller height and the smaller width."""
    if student_map.ndim != 4 or teacher_map.ndim != 4:
        raise ValueError(
            f"feature maps must be (N, C, H, W), got {tuple(student_map.shape)} and "
            f"{tuple(teacher_map.shape)}"
        )
    height, width = map(min, student_map.shape[2:], teacher_map.shape[2:])
    return _pooled(student_map, height, width), _pooled(teacher_map, height, width)


def _pooled(feature_map: Tensor, height: int, width: int) -> Tensor:
    rows, rest_of_rows = divmod(feature_map.shape[2], height)
    columns, rest_of_columns = divmod(feature_map.shape[3], width)
    if rest_of_rows or rest_of_columns:
        return F.adaptive_avg_pool2d(feature_map, (height, width))
    if rows == columns == 1:
        return feature_map
    # The same averages, but adaptive pooling has no deterministic gradient on CUDA.
    return F.avg_pool2d(feature_map, (rows, columns))


def layer_map(num_student: int, num_teacher: int) -> list[int]:
    """The teacher's layer for each of the student's, both counted from 1: last to last."""
    if not (num_student >= 1 and num_teacher >= 1):
        raise ValueError(f"layers to map must be at least 1, got {num_student} and {num_teacher}")
    # floor(l * num_teacher / num_student + 1/2) in integers; 0 only for a far deeper student.
    return [
        max(1, (2 * layer * num_teacher + num_student) // (2 * num_student))
        for layer in range(1, num_student + 1)
    ]
