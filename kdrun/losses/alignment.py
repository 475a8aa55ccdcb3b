"""Alignment of the hidden states of student and teacher, and the pairs of layers compared."""

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Pair(NamedTuple):
    """A student layer, the teacher layer compared with it, and their widths."""

    student: str
    teacher: str
    student_width: int = 0
    teacher_width: int = 0


def aligned(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Bring two hidden states to one spatial size; tokens become maps if the other is a map.

    Raises:
        ValueError: the shapes cannot be compared.
    """
    if student.ndim == 4 or teacher.ndim == 4:
        student, teacher = (tokens_to_map(x) if x.ndim == 3 else x for x in (student, teacher))
        return match_spatial(student, teacher)
    if student.shape[:-1] != teacher.shape[:-1]:
        raise ValueError(
            f"student and teacher differ in tokens: {tuple(student.shape)}, {tuple(teacher.shape)}"
        )
    return student, teacher


def tokens_to_map(tokens: Tensor) -> Tensor:
    """(N, L, d) tokens of a square image in rows -> (N, d, h, h), without a leading class token.

    ValueError if neither L nor L-1 is a square.
    """
    length = tokens.shape[1]
    for class_tokens in (0, 1):
        side = math.isqrt(length - class_tokens)
        if side**2 == length - class_tokens:
            patches = tokens[:, class_tokens:]
            return patches.transpose(1, 2).unflatten(2, (side, side))
    raise ValueError(
        f"{length} tokens do not form a square map, with or without a class token: "
        f"{tuple(tokens.shape)}"
    )


def match_spatial(student_map: Tensor, teacher_map: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool two (N, C, H, W) maps to the smaller height and the smaller width."""
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
    # The same averages: adaptive pooling has no deterministic gradient on CUDA.
    return F.avg_pool2d(feature_map, (rows, columns))


def layer_map(num_student: int, num_teacher: int) -> list[int]:
    """The teacher layer for each student layer, both counted from 1; the last maps to the last."""
    if not (num_student >= 1 and num_teacher >= 1):
        raise ValueError(f"layers to map must be at least 1, got {num_student} and {num_teacher}")
    # floor(l * num_teacher / num_student + 1/2) in integers; 0 only for a much deeper student.
    return [
        max(1, (2 * layer * num_teacher + num_student) // (2 * num_student))
        for layer in range(1, num_student + 1)
    ]
