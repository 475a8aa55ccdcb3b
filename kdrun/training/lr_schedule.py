"""Learning-rate schedules: the rate as a pure function of the update."""

import bisect
import math
from collections.abc import Sequence
from typing import Any

from kdrun.catalog.schedules import RATE_SCHEDULES


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter, 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float, *, milestones: Sequence[float], gamma: float) -> float:
    """1, times gamma for every milestone passed."""
    return gamma ** bisect.bisect_right(milestones, progress)


def constant(progress: float) -> float:
    """1 all along."""
    return 1.0


def learning_rate_at(
    update: int,
    updates: int,
    *,
    peak: float,
    schedule: str,
    warmup: int = 0,
    milestones: Sequence[float] = (),
    gamma: float = 0.1,
    **own: Any,
) -> float:
    """The rate of the 0-based optimizer update out of `updates`.

    It rises linearly over the first `warmup` updates, then follows the schedule, whose progress
    runs from 0 to 1 over all updates ("step") or over those after the warm-up ("cosine").

    Args:
        own: options that the schedule's row adds, as far as they are not the default.
    """
    if update < warmup:
        return peak * (update + 1) / warmup
    row = RATE_SCHEDULES[schedule]
    start = warmup if row.after_warmup else 0
    progress = (update - start) / max(1, updates - start)
    options = row.chosen({"milestones": milestones, "gamma": gamma}, own)
    share: float = row.load()(progress, **options)
    return peak * share
