"""Parameters and multiply-accumulates of a model."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, trained or frozen; shared parameters count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(build: Callable[[], nn.Module], input_shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of a forward pass on one (channels, height, width) image.

    Convolutions, matrix products and attention count; normalisations and activations do not.
    `build` makes the model, on the meta device here: no memory, no arithmetic.
    """
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad():
        model = build().eval()
        image = torch.empty(1, *input_shape)
        with counter:
            model(image)
    return counter.get_total_flops() // 2
