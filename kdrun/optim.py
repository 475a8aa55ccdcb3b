"""Optimizers and learning-rate schedules; the rate is a pure function of the step."""

import bisect
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

STATES = {"sgd": 1, "adamw": 2}
"""Numbers that an optimizer keeps of each parameter."""


def build_optimizer(
    name: str,
    parameters: Sequence[nn.Parameter],
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> Optimizer:
    """SGD or AdamW over the parameters, in one fused kernel where the device has it."""
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if name == "adamw":
        return AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
    optimizer = SGD(
        parameters,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,
        weight_decay=weight_decay,
        fused=fused,
    )
    if momentum > 0:
        # The fused kernel allocates them without a value at the first step, and leaves them so
        # where that step is skipped because a gradient overflowed fp16.
        for parameter in parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Use this rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def cosine(progress: float, milestones: Sequence[float], gamma: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter, 2017)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float, milestones: Sequence[float], gamma: float) -> float:
    """1, times gamma for every milestone passed."""
    return gamma ** bisect.bisect_right(milestones, progress)


def constant(progress: float, milestones: Sequence[float], gamma: float) -> float:
    """1 all along."""
    return 1.0


SCHEDULES: dict[str, Callable[[float, Sequence[float], float], float]] = {
    "cosine": cosine,
    "step": step,
    "constant": constant,
}


def learning_rate_at(
    update: int,
    updates: int,
    *,
    peak: float,
    schedule: str,
    warmup: int = 0,
    milestones: Sequence[float] = (),
    gamma: float = 0.1,
) -> float:
    """The rate of the 0-based optimizer update out of `updates`.

    It rises linearly over the first `warmup` updates, then follows the schedule, whose progress
    runs from 0 to 1 over all updates ("step") or over those after the warm-up ("cosine").
    """
    if update < warmup:
        return peak * (update + 1) / warmup
    start = 0 if schedule == "step" else warmup
    progress = (update - start) / max(1, updates - start)
    return peak * SCHEDULES[schedule](progress, milestones, gamma)


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> torch.Tensor:
    """Scale the gradients down to the norm; returns the norm before, on the device."""
    return nn.utils.clip_grad_norm_(parameters, max_norm)
