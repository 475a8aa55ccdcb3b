"""Temperature schedules as pure functions of the epoch."""

import math
from collections.abc import Callable
from typing import Any

from kdrun.catalog.schedules import TEMPERATURE_SCHEDULES
from kdrun.errors import near_miss
from kdrun.losses.temperature import check_temperature

Schedule = Callable[..., float]
"""(start, progress from 0 to 1, epoch, options of its row) -> T."""


def constant(start: float, progress: float, epoch: float) -> float:
    """Return the start."""
    return start


def linear(start: float, progress: float, epoch: float, *, end: float) -> float:
    """Interpolate linearly from start to end."""
    return start + (end - start) * progress


def cosine(start: float, progress: float, epoch: float, *, end: float) -> float:
    """Interpolate by half a cosine from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def exponential(start: float, progress: float, epoch: float, *, end: float) -> float:
    """Interpolate geometrically from start to end."""
    return start * (end / start) ** progress


def step(
    start: float, progress: float, epoch: float, *, end: float, gamma: float, every: int
) -> float:
    """Multiply the start by gamma every `every` epochs, down to end."""
    return max(end, start * gamma ** (epoch // every))


def temperature_at(
    schedule: str,
    epoch: float,
    epochs: int,
    start: float,
    end: float = 1.0,
    gamma: float = 0.5,
    every: int = 10,
    **own: Any,
) -> float:
    """Return T at a 0-based, possibly fractional epoch; the last epoch starts at `end`.

    Args:
        schedule: a row of `TEMPERATURE_SCHEDULES` with code; ValueError for any other.
        epoch: at least 0; after the start of the last epoch T is constant.
        epochs: number of epochs, at least 1.
        start: T of epoch 0, in (0, 1000]; "constant" also takes inf.
        end: T of the last epoch, and the floor of "step".
        gamma: factor of each step, in (0, 1].
        every: epochs between steps.
        own: options added by the schedule's row; defaults may be omitted.
    """
    row = TEMPERATURE_SCHEDULES.get(schedule)
    if row is None or row.code is None:
        known = [name for name, one in TEMPERATURE_SCHEDULES.items() if one.code]
        raise ValueError(
            f"unknown schedule '{schedule}'{near_miss(schedule, known)} (known: {', '.join(known)})"
        )
    check_temperature(start, infinite=row.infinite)
    check_temperature(end, infinite=False)
    if not (epoch >= 0 and epochs >= 1 and 0 < gamma <= 1 and every >= 1):
        raise ValueError(
            "a schedule needs epoch >= 0, epochs >= 1, gamma in (0, 1] and every >= 1, "
            f"got epoch={epoch}, epochs={epochs}, gamma={gamma}, every={every}"
        )
    progress = min(1.0, epoch / (epochs - 1)) if epochs > 1 else 0.0
    options = row.chosen({"end": end, "gamma": gamma, "every": every}, own)
    T: float = row.load()(start, progress, epoch, **options)
    return T
