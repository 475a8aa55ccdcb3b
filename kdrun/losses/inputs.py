"""Input checks of the losses: shapes, labels, probabilities, float32 precision.

Autocast lowers only matrix products, so a loss without any stays in float32. Values are checked
only on the CPU: on other devices the check would synchronise.
"""

import torch
from torch import Tensor

# Sums of half-precision probabilities are closer to 1; those of logits are far off.
SUM_TOLERANCE = 1e-2

_INDEX_TYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def full_precision(*tensors: Tensor) -> list[Tensor]:
    """The tensors in their common floating-point type, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def paired(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in full precision, the teacher detached; ValueError unless of equal shape."""
    # Unequal shapes would broadcast to a finite but wrong result.
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher differ in shape: {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    check_some("student and teacher", student)
    student, teacher = full_precision(student, teacher.detach())
    return student, teacher


def check_some(name: str, tensor: Tensor) -> None:
    """Raise ValueError for an empty batch: its mean would be nan."""
    if tensor.numel() == 0:
        raise ValueError(f"{name} must hold at least one sample, got {tuple(tensor.shape)}")


def paired_logits(student_logits: Tensor, teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
    """`paired` for (N, K) logits."""
    if student_logits.ndim != 2:
        raise ValueError(f"logits must be (N, K), got {tuple(student_logits.shape)}")
    return paired(student_logits, teacher_logits)


def class_indices(labels: Tensor, logits: Tensor) -> Tensor:
    """The labels as int64; ValueError unless (N,) indices of the K >= 2 classes of the logits."""
    if labels.shape != logits.shape[:1] or labels.dtype not in _INDEX_TYPES:
        raise ValueError(
            f"labels must be class indices of shape ({len(logits)},), "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 classes, got {tuple(logits.shape)}")
    check_some("labels", labels)
    # Other devices raise by themselves for an index out of range.
    if labels.device.type == "cpu":
        low, high = (int(end) for end in labels.aminmax())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(f"labels must be in [0, {logits.shape[1] - 1}], got [{low}, {high}]")
    return labels.long()


def check_probabilities(name: str, probs: Tensor) -> None:
    """Raise ValueError for (..., K) rows that are not probabilities; non-finite rows pass.

    They lead to a nan loss, reported with the name of the term.
    """
    if probs.device.type != "cpu" or probs.numel() == 0:
        return
    low = float(probs.detach().amin())
    least, most = (float(end) for end in probs.detach().sum(dim=-1, dtype=torch.float32).aminmax())
    if low < 0 or least < 1 - SUM_TOLERANCE or most > 1 + SUM_TOLERANCE:
        raise ValueError(
            f"{name} must be probabilities: non-negative, with sum 1 over the last dimension "
            f"(apply softmax to logits first), got a minimum of {low:.6g} and sums in "
            f"[{least:.6g}, {most:.6g}]"
        )


def check_reduction(reduction: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless the reduction is allowed."""
    if reduction not in allowed:
        raise ValueError(f"unknown reduction '{reduction}' (known: {', '.join(allowed)})")
