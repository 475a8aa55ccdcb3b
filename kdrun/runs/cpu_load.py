"""CPU load from other processes, and thread advice."""

import os
import time
from pathlib import Path
from typing import NamedTuple

import torch

TICKS = Path("/proc/stat")
"""File of Linux with the busy and idle time of each core."""

SPARE = 0.5
"""Number of cores in use by others from which advice is given."""


class CpuSample(NamedTuple):
    """Sample of clock, CPU seconds of all processes on our cores, and of this process."""

    clock: float
    all: float
    ours: float


def allowed_cores() -> frozenset[int]:
    """Return the cores that this process may use; empty on systems other than Linux."""
    allowed = getattr(os, "sched_getaffinity", None)
    return frozenset(allowed(0)) if allowed else frozenset()


def now(allowed: frozenset[int]) -> CpuSample | None:
    """Return a sample for these cores; None if the system has no such counters."""
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
    """Return the number of our cores that other processes used between two samples."""
    passed = max(after.clock - before.clock, 1e-9)
    return max(0.0, (after.all - before.all) - (after.ours - before.ours)) / passed


class Watch:
    """CPU load from construction until `advice`, a second or more later, before training."""

    def __init__(self) -> None:
        self.cores = allowed_cores()
        self.before = now(self.cores)

    def advice(self, device: torch.device) -> list[str]:
        """Return advice if threads would wait for each other because others use the cores too.

        A parallel operation takes as long as its slowest thread, delayed whenever another process
        has the core; small networks have thousands of operations a second.
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
            f"for each other: train.threads={fewer} may be faster, for small networks severalfold"
        ]
