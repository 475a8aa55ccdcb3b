"""Input checks of the measures: shapes, values, float64 on the CPU."""

from collections.abc import Iterable

from torch import Tensor

from kdrun.losses import inputs
from kdrun.losses.temperature import check_temperature


def measured(tensor: Tensor) -> Tensor:
    """Detach to float64 on the CPU, because not every device has float64."""
    return tensor.detach().cpu().double()


def probability_rows(name: str, probs: Tensor) -> Tensor:
    """Return (..., K) rows in float64, rescaled to sum to 1; ValueError unless probabilities.

    Without rescaling, the 1e-7 error of a float32 row's sum would break bounds on distributions.
    """
    if probs.ndim == 0 or probs.numel() == 0:
        raise ValueError(f"{name} must hold at least one row, got shape {tuple(probs.shape)}")
    rows = measured(probs)
    sums = rows.sum(dim=-1, keepdim=True)
    # Positive conditions, so that nan fails.
    if not ((rows >= 0).all() and ((sums - 1).abs() <= inputs.SUM_TOLERANCE).all()):
        raise ValueError(
            f"{name} must be probabilities, at least 0 and with sum 1 over the last dimension "
            f"(apply softmax to logits first), got values in "
            f"[{rows.min().item():.6g}, {rows.max().item():.6g}] and sums in "
            f"[{sums.min().item():.6g}, {sums.max().item():.6g}]"
        )
    return rows / sums


def class_probabilities(name: str, probs: Tensor) -> Tensor:
    """Return `probability_rows` of shape (N, K), K >= 2."""
    if probs.ndim != 2 or probs.shape[1] < 2:
        raise ValueError(
            f"{name} must be (N, K) of at least 2 classes, got shape {tuple(probs.shape)}"
        )
    return probability_rows(name, probs)


def paired_probabilities(student_probs: Tensor, teacher_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Return `class_probabilities` of both, which must have the same shape."""
    check_same_shape(student_probs, teacher_probs)
    return (
        class_probabilities("student_probs", student_probs),
        class_probabilities("teacher_probs", teacher_probs),
    )


def check_same_shape(student: Tensor, teacher: Tensor) -> None:
    """Check that student and teacher have the same shape; ValueError otherwise."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher differ in shape: {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )


def finite_table(name: str, table: Tensor) -> Tensor:
    """Return (N, K) logits or (N, d) features in float64; ValueError unless finite, not empty."""
    if table.ndim != 2 or table.numel() == 0:
        raise ValueError(f"{name} must be (N, width), both at least 1, got {tuple(table.shape)}")
    values = measured(table)
    if not values.isfinite().all():
        raise ValueError(f"{name} must be finite, got nan or inf in {tuple(table.shape)} values")
    return values


def class_indices(labels: Tensor, rows: Tensor) -> Tensor:
    """Return (N,) int64 on the CPU; ValueError unless valid classes of the (N, K) rows."""
    return inputs.class_indices(labels.detach().cpu(), rows)


def checked_temperatures(temperatures: Iterable[float]) -> tuple[float, ...]:
    """Return temperatures as floats; ValueError if empty or not in (0, 1000] or inf."""
    checked = tuple(float(T) for T in temperatures)
    if not checked:
        raise ValueError("temperatures must hold at least one T, got none")
    for T in checked:
        check_temperature(T)
    return checked
