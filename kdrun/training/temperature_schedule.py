"""Temperature schedules: T as a pure function of the epoch."""

import math
from collections.abc import Callable

from kdrun.errors import near_miss
from kdrun.losses.temperature import check_temperature

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
