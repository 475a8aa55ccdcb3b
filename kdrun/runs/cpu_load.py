"""CPU load from other processes, and thread advice."""

import os
import time
from pathlib import Path
from typing import NamedTuple

import torch

TICKS = Path("/proc/stat")
"""Where Linux counts how long each core worked and idled."""

SPARE = 0.5
"""Cores that others may use before it is told."""


class CpuSample(NamedTuple):
    """Seconds so far: of the clock, and that all processes and this one have used of our cores."""

    clock: float
    all: float
    ours: float


def allowed_cores() -> frozenset[int]:
    """Those that this process may use; none where the system does not tell, which Linux does."""
    allowed = getattr(os, "sched_getaffinity", None)
    return frozenset(allowed(0)) if allowed else frozenset()


def now(allowed: frozenset[int]) -> CpuSample | None:
    """The moment, for these cores; None where the system does not count them like this."""
    try:
        lines = [line.split() for line in TICKS.read_text().splitlines()]
        tick = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    busy = 0
    for name, *numbers in lines:
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in allowed:
            user, nice, system, _, _, *interrupts = map(int, numbers[:8])
            busy += user + nice + system + sum(interrupts)
    own = os.times()
    return CpuSample(time.monotonic(), busy / tick, own.user + own.system)


def used_by_others(before: CpuSample, after: CpuSample) -> float:
    """How many of our cores other processes kept busy between two moments."""
    passed = max(after.clock - before.clock, 1e-9)
    return max(0.0, (after.all - before.all) - (after.ours - before.ours)) / passed


class Watch:
    """Counts from its beginning on; asked a second or more later, when it is about to train."""

    def __init__(self) -> None:
        self.cores = allowed_cores()
        self.before = now(self.cores)

    def advice(self, device: torch.device) -> list[str]:
        """A line where threads would wait for one another because others use the cores too.

        An operation of two threads is done when the slower one is, which is put off whenever
        another process has its core; small networks have thousands of them a second.
        """
        after, threads = now(self.cores), torch.get_num_threads()
        if device.type != "cpu" or threads == 1 or self.before is None or after is None:
            return []
        others, cores = used_by_others(self.before, after), len(self.cores)
        if others + threads <= cores + SPARE:
            return []
        fewer = max(1, round(cores - others))
        return [
            f"other processes use {others:.1f} of {cores} cores, and {threads} threads would wait "
            f"for one another: train.threads={fewer} may be faster, small networks severalfold"
        ]
