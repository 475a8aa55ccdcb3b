"""Costs of each step of a chain of teaching assistants."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class ChainStep:
    """Differences of one model to its teacher, and their sums over the steps so far."""

    loss_difference: float
    error_difference: float
    pinsker: float
    """sqrt(KL / 2), a bound on the difference of the Gibbs errors."""
    cumulative_loss: float
    cumulative_error: float


@dataclass(frozen=True)
class ChainDifferences:
    """Steps from the teacher to the student; their differences sum to the total."""

    steps: tuple[ChainStep, ...]
    loss_difference: float
    """The student's loss minus the teacher's."""
    error_difference: float


def chain_differences(
    losses: Sequence[float], errors: Sequence[float], divergences: Sequence[float]
) -> ChainDifferences:
    """Differences of loss and error from model to model.

    Args:
        losses: of the teacher, each assistant and the student, on the same samples.
        errors: of the same models.
        divergences: KL(teacher || student) in nats of each step, one fewer.
    """
    if not len(losses) == len(errors) == len(divergences) + 1 >= 2:
        raise ValueError(
            "a chain needs losses and errors of at least 2 models and one divergence fewer, got "
            f"{len(losses)}, {len(errors)} and {len(divergences)}"
        )
    if not all(divergence >= 0 for divergence in divergences):
        raise ValueError(f"divergences must be at least 0, got {list(divergences)}")
    steps = tuple(
        ChainStep(
            loss - teacher_loss,
            error - teacher_error,
            math.sqrt(divergence / 2),
            loss - losses[0],
            error - errors[0],
        )
        for (teacher_loss, loss), (teacher_error, error), divergence in zip(
            pairwise(losses), pairwise(errors), divergences, strict=True
        )
    )
    return ChainDifferences(steps, losses[-1] - losses[0], errors[-1] - errors[0])
