"""Learning-rate schedules as pure functions of the update."""

import bisect
import math
from collections.abc import Sequence
from typing import Any

from kdrun.catalog.schedules import RATE_SCHEDULES


def cosine(progress: float) -> float:
    """Return half a cosine from 1 to 0 (Loshchilov and Hutter, 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float, *, milestones: Sequence[float], gamma: float) -> float:
    """Return gamma to the power of the number of milestones passed."""
    return gamma ** bisect.bisect_right(milestones, progress)


def constant(progress: float) -> float:
    """Return 1."""
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
    """Return the rate of a 0-based optimizer update out of `updates`.

    The rate rises linearly over the first `warmup` updates and then follows the schedule, with
    progress from 0 to 1 over all updates ("step") or over those after the warm-up ("cosine").

    Args:
        own: options added by the schedule's row; defaults may be omitted.
    """
    if update < warmup:
        return peak * (update + 1) / warmup
    row = RATE_SCHEDULES[schedule]
    start = warmup if row.after_warmup else 0
    progress = (update - start) / max(1, updates - start)
    options = row.chosen({"milestones": milestones, "gamma": gamma}, own)
    share: float = row.load()(progress, **options)
    return peak * share
