"""Latency of a model for one image on the CPU."""

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

BUDGET = 0.5
"""Most seconds spent on one measurement, without warm-up."""

MOST_CALLS, WARM_UP = 50, 3


def latency(call: Callable[[], object]) -> dict[str, Any]:
    """Measure the median and quartile milliseconds of a call, after a warm-up."""
    for _ in range(WARM_UP):
        call()
    times: list[float] = []
    while not times or (sum(times) < BUDGET and len(times) < MOST_CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return {
        "median_ms": round(1000 * statistics.median(times), 4),
        "quartiles_ms": [round(1000 * quartiles[0], 4), round(1000 * quartiles[2], 4)],
        "calls": len(times),
        "threads": torch.get_num_threads(),
    }


@torch.inference_mode()
def cpu_latency(network: nn.Module, image: Tensor) -> dict[str, Any]:
    """Measure the latency of one normalised (1, C, H, W) image in float32 on the CPU."""
    model, example = copy.deepcopy(network).cpu().float().eval(), image.cpu().float()
    return latency(lambda: model(example))
