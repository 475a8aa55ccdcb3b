"""Optimizers, and the parameters that each trains."""

from collections.abc import Sequence

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


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> torch.Tensor:
    """Scale the gradients down to the norm; returns the norm before, on the device."""
    return nn.utils.clip_grad_norm_(parameters, max_norm)
