"""Input checks of the losses: shapes, labels, probabilities, float32 precision.

Autocast lowers only matrix products, so float32 stays float32 in a loss that has none. Values are
looked at on the CPU alone: elsewhere the host would have to wait for them.
"""

import torch
from torch import Tensor

# Probabilities of half precision miss a sum of 1 by less; logits miss it by far more.
SUM_TOLERANCE = 1e-2

_INDEX_TYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def full_precision(*tensors: Tensor) -> list[Tensor]:
    """The tensors in their common floating-point type, which is at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def paired(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in full precision, the teacher without gradient; ValueError unless of one shape."""
    # Of unequal shapes one would be broadcast to the other, with a finite and wrong result.
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher differ in shape: {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    check_some("student and teacher", student)
    student, teacher = full_precision(student, teacher.detach())
    return student, teacher


def check_some(name: str, tensor: Tensor) -> None:
    """ValueError for an empty batch, whose mean would be nan."""
    if tensor.numel() == 0:
        raise ValueError(f"{name} must hold at least one sample, got {tuple(tensor.shape)}")


def paired_logits(student_logits: Tensor, teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
    """`paired` for logits, which must be (N, K)."""
    if student_logits.ndim != 2:
        raise ValueError(f"logits must be (N, K), got {tuple(student_logits.shape)}")
    return paired(student_logits, teacher_logits)


def class_indices(labels: Tensor, logits: Tensor) -> Tensor:
    """(N,) int64; ValueError unless one of the K >= 2 classes for each of the (N, K) rows."""
    if labels.shape != logits.shape[:1] or labels.dtype not in _INDEX_TYPES:
        raise ValueError(
            f"labels must be class indices of shape ({len(logits)},), "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    if logits.shape[1] < 2:
        raise ValueError(f"logits must be of at least 2 classes, got {tuple(logits.shape)}")
    check_some("labels", labels)
    # A device refuses indices that are too large by itself.
    if labels.device.type == "cpu":
        low, high = (int(end) for end in labels.aminmax())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(f"labels must be in [0, {logits.shape[1] - 1}], got [{low}, {high}]")
    return labels.long()


def check_probabilities(name: str, probs: Tensor) -> None:
    """ValueError for rows (..., K) that are no probabilities, unless they are not finite.

    Those are left to come out as the nan that names the term.
    """
    if probs.device.type != "cpu" or probs.numel() == 0:
        return
    low = float(probs.detach().amin())
    least, most = (float(end) for end in probs.detach().sum(dim=-1, dtype=torch.float32).aminmax())
    if low < 0 or least < 1 - SUM_TOLERANCE or most > 1 + SUM_TOLERANCE:
        raise ValueError(
            f"{name} must be probabilities, at least 0 and of sum 1 over the last dimension "
            f"(logits go through softmax first), got values from {low:.6g} and sums in "
            f"[{least:.6g}, {most:.6g}]"
        )


def check_reduction(reduction: str, allowed: tuple[str, ...]) -> None:
    """ValueError unless the reduction is one of the allowed."""
    if reduction not in allowed:
        raise ValueError(f"unknown reduction '{reduction}' (known: {', '.join(allowed)})")
