"""Contenders timed in turns, so that what disturbs the machine disturbs them all alike."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

Mark = Callable[[], None]
"""To be called after each step."""


@dataclass(frozen=True)
class Contender:
    """One way to do the same training step.

    Attributes:
        name: of the way.
        precision: fp32 or bf16.
        run: does so many steps.
        turn: entered around each turn, untimed.
        untimed: steps at the start of each turn that are not counted, so that what workers
            prepared meanwhile is used up.
    """

    name: str
    precision: str
    run: Callable[[int, Mark], None]
    turn: Callable[[], AbstractContextManager[object]] = nullcontext
    untimed: int = 0

    @property
    def title(self) -> str:
        """`plain loop fp32`."""
        return f"{self.name} {self.precision}"


Times = dict[str, list[list[float]]]
"""Milliseconds of every step, round by round, by the contender's title."""


def time_in_rounds(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    steps: int,
    device: torch.device,
    until: float = math.inf,
) -> Times:
    """Time every contender in every round.

    Each round begins with another contender, lest one always follows the same other one.

    Args:
        until: moment of `time.monotonic` after which no round begins, but at least three are done.
    """
    times: Times = {contender.title: [] for contender in contenders}
    for contender in contenders:
        time_turn(contender, 2, device)  # the first steps allocate, choose kernels, warm up
    for number in range(rounds):
        if number >= 3 and time.monotonic() > until:
            break
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            times[contender.title].append(time_turn(contender, steps, device))
    return times


def time_turn(contender: Contender, steps: int, device: torch.device) -> list[float]:
    """Milliseconds of each of so many steps."""
    moments: list[Any] = []
    now = cuda_moment if device.type == "cuda" else time.perf_counter
    with contender.turn():
        if contender.untimed:
            contender.run(contender.untimed, lambda: None)
        synchronize(device)
        moments.append(now())
        contender.run(steps, lambda: moments.append(now()))
        synchronize(device)
    pairs = pairwise(moments)
    if device.type == "cuda":
        return [before.elapsed_time(after) for before, after in pairs]
    return [1000 * (after - before) for before, after in pairs]


def cuda_moment() -> torch.cuda.Event:
    """The moment at which the device comes to this place of the stream."""
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def synchronize(device: torch.device) -> None:
    """Wait until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    if len(values) == 1:
        return dict.fromkeys(("lower", "median", "upper"), values[0])
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return {"lower": lower, "median": median, "upper": upper}


def ratio(times: Times, above: str, below: str) -> dict[str, float]:
    """Spread over the rounds of one contender's time divided by another's in the same round."""
    rounds = zip(times[above], times[below], strict=True)
    return spread([statistics.median(a) / statistics.median(b) for a, b in rounds])
