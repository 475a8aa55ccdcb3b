"""What losses do with their inputs first: compare shapes, widen to float32, detach the teacher.

Autocast lowers only matrix products, so float32 stays float32 in a loss that has none.
"""

import torch
from torch import Tensor


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
    student, teacher = full_precision(student, teacher.detach())
    return student, teacher


def paired_logits(student_logits: Tensor, teacher_logits: Tensor) -> tuple[Tensor, Tensor]:
    """`paired` for logits, which must be (N, K)."""
    if student_logits.ndim != 2:
        raise ValueError(f"logits must be (N, K), got {tuple(student_logits.shape)}")
    return paired(student_logits, teacher_logits)


def check_class_indices(labels: Tensor, logits: Tensor) -> None:
    """ValueError unless the labels are one class index for each row of logits."""
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels must be class indices of shape ({len(logits)},), "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )


def check_reduction(reduction: str, allowed: tuple[str, ...]) -> None:
    """ValueError unless the reduction is one of the allowed."""
    if reduction not in allowed:
        raise ValueError(f"unknown reduction '{reduction}' (known: {', '.join(allowed)})")
