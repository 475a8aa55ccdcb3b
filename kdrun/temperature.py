"""The temperature: softened probabilities, T over the epochs of a stage, and its choice."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.errors import near_miss
from kdrun.temperature_choice import (
    NOISY_FROM,
    auto_temperature,
    entropy_of_counts,
    formula_temperature,
    interior_maximum,
    memorised_noise,
    normalised_entropy,
    optimal_temperature,
)

__all__ = [
    "FLOAT64_FROM",
    "NOISY_FROM",
    "SCHEDULES",
    "Schedule",
    "auto_temperature",
    "check_temperature",
    "entropy_of_counts",
    "formula_temperature",
    "interior_maximum",
    "memorised_noise",
    "normalised_entropy",
    "optimal_temperature",
    "softened",
    "softmax_with_temperature",
    "temperature_at",
    "widened",
]

FLOAT64_FROM = 50.0
FLOAT64_BELOW = 1e-30


def check_temperature(T: float, infinite: bool = True) -> None:
    """ValueError unless T is in (0, 1000] or, where there is a limit to compute, inf."""
    # A negative T would give a finite loss that teaches the opposite; stated positively, nan fails.
    if not (T > 0 and (T <= 1000 or (infinite and math.isinf(T)))):
        raise ValueError(f"T must be in (0, 1000]{' or inf' if infinite else ''}, got {T}")


def widened(logits: Tensor, T: float) -> Tensor:
    """The logits in the precision that T asks for: at least float32, from T = 50 on float64."""
    # T^2 magnifies the rounding of nearly uniform probabilities: 9.5 % of the loss at T = 1000.
    least = torch.float32 if FLOAT64_BELOW <= T < FLOAT64_FROM else torch.float64
    return logits.to(torch.promote_types(logits.dtype, least))


def softened(logits: Tensor, T: float) -> Tensor:
    """logits / T over the last dimension, up to a constant a row, in the precision of `widened`."""
    logits = widened(logits, T)
    if T < FLOAT64_BELOW:  # the quotient of the largest may overflow: let it be 0
        logits = logits - logits.amax(dim=-1, keepdim=True)
    return logits / T


def softmax_with_temperature(logits: Tensor, T: float) -> Tensor:
    """softmax(logits / T) over the last dimension, at least float32; uniform at T = inf.

    Tends to uniform over the largest logits as T goes to 0. ValueError for T outside (0, 1000].
    """
    check_temperature(T)
    probs = F.softmax(softened(logits, T), dim=-1)
    return probs.to(torch.promote_types(logits.dtype, torch.float32))


Schedule = Callable[[float, float, float, float], float]

# Each maps (start, end, progress from 0 to 1, decay of the steps so far) to T.
SCHEDULES: dict[str, Schedule] = {
    "constant": lambda start, end, progress, decay: start,
    "linear": lambda start, end, progress, decay: start + (end - start) * progress,
    "cosine": lambda start, end, progress, decay: (
        end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
    ),
    "exponential": lambda start, end, progress, decay: start * (end / start) ** progress,
    "step": lambda start, end, progress, decay: max(end, start * decay),
}


def temperature_at(
    schedule: str,
    epoch: float,
    epochs: int,
    start: float,
    end: float = 1.0,
    gamma: float = 0.5,
    every: int = 10,
) -> float:
    """T at an epoch, 0-based and fractional within one; `end` is reached as the last one starts.

    Args:
        schedule: a key of `SCHEDULES`; ValueError for any other.
        epoch: from 0; a value past the last epoch's start stays at its T.
        epochs: how many there are, at least 1.
        start: T of epoch 0, in (0, 1000]; "constant" also takes inf.
        end: T of the last epoch, and the floor of "step".
        gamma: factor of each step, in (0, 1].
        every: epochs between steps.
    """
    if schedule not in SCHEDULES:
        known = ", ".join(SCHEDULES)
        raise ValueError(
            f"unknown schedule '{schedule}'{near_miss(schedule, SCHEDULES)} (known: {known})"
        )
    check_temperature(start, infinite=schedule == "constant")
    check_temperature(end, infinite=False)
    if not (epoch >= 0 and epochs >= 1 and 0 < gamma <= 1 and every >= 1):
        raise ValueError(
            "a schedule needs epoch >= 0, epochs >= 1, gamma in (0, 1] and every >= 1, "
            f"got epoch={epoch}, epochs={epochs}, gamma={gamma}, every={every}"
        )
    progress = min(1.0, epoch / (epochs - 1)) if epochs > 1 else 0.0
    return SCHEDULES[schedule](start, end, progress, gamma ** (epoch // every))
