"""How far memory rises above what is in use, at the peak of some work."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

MIB = 2**20


def extra_memory(work: Callable[[], object], device: torch.device) -> float | None:
    """MiB above what was in use before; on a CPU the process's own, None where not on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    if not Path("/proc/self/clear_refs").exists():
        work()
        return None
    ctypes.CDLL(None).malloc_trim(0)  # or the peak hides in what earlier work left allocated
    Path("/proc/self/clear_refs").write_text("5")
    before_mib = resident("VmRSS")
    work()
    return resident("VmHWM") - before_mib


def resident(field: str) -> float:
    """MiB of this process: VmRSS now, or VmHWM at most since the mark was reset."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))
