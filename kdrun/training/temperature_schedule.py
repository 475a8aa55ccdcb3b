"""Temperature schedules: T as a pure function of the epoch."""

import math
from collections.abc import Callable
from typing import Any

from kdrun.catalog.schedules import TEMPERATURE_SCHEDULES
from kdrun.errors import near_miss
from kdrun.losses.temperature import check_temperature

Schedule = Callable[..., float]
"""(start, progress from 0 to 1, epoch, options of its row) -> T."""


def constant(start: float, progress: float, epoch: float) -> float:
    """The start, all along."""
    return start


def linear(start: float, progress: float, epoch: float, *, end: float) -> float:
    """A straight line from start to end."""
    return start + (end - start) * progress


def cosine(start: float, progress: float, epoch: float, *, end: float) -> float:
    """Half a period from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def exponential(start: float, progress: float, epoch: float, *, end: float) -> float:
    """The same factor for each epoch from start to end."""
    return start * (end / start) ** progress


def step(
    start: float, progress: float, epoch: float, *, end: float, gamma: float, every: int
) -> float:
    """The start, times gamma after `every` epochs each, not below end."""
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
    """T at an epoch, 0-based and fractional within one; `end` is reached as the last one starts.

    Args:
        schedule: a row of `TEMPERATURE_SCHEDULES` with code; ValueError for any other.
        epoch: from 0; a value past the last epoch's start stays at its T.
        epochs: how many there are, at least 1.
        start: T of epoch 0, in (0, 1000]; "constant" also takes inf.
        end: T of the last epoch, and the floor of "step".
        gamma: factor of each step, in (0, 1].
        every: epochs between steps.
        own: options that the schedule's row adds, as far as they are not the default.
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
