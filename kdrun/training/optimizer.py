"""Optimizers, learning rate and gradient clipping."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from kdrun.catalog.optimizers import OPTIMIZERS

STATES = {name: row.states for name, row in OPTIMIZERS.items()}
"""Values that an optimizer stores per parameter."""


def build_optimizer(
    name: str, parameters: Sequence[nn.Parameter], *, lr: float, weight_decay: float, **options: Any
) -> Optimizer:
    """Return the optimizer of the parameters, fused if the device supports it.

    Args:
        name: a row of `OPTIMIZERS`.
        options: options of all rows; the row's own are passed on.
    """
    row = OPTIMIZERS[name]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    optimizer: Optimizer = row.load()(
        parameters, lr=lr, weight_decay=weight_decay, fused=fused, **row.chosen(options, {})
    )
    return optimizer


def adamw(
    parameters: Sequence[nn.Parameter], *, lr: float, weight_decay: float, fused: bool
) -> Optimizer:
    """Return Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""
    return AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)


def sgd(
    parameters: Sequence[nn.Parameter],
    *,
    lr: float,
    weight_decay: float,
    fused: bool,
    momentum: float,
    nesterov: bool,
) -> Optimizer:
    """Return stochastic gradient descent with momentum."""
    optimizer = SGD(
        parameters,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,
        weight_decay=weight_decay,
        fused=fused,
    )
    if momentum > 0:
        # The fused kernel allocates the buffers uninitialised at the first step, and they stay so
        # if that step is skipped because a gradient overflowed fp16.
        for parameter in parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate for the next steps."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> torch.Tensor:
    """Scale the gradients down to the norm; return the norm before, on the device."""
    return nn.utils.clip_grad_norm_(parameters, max_norm)
