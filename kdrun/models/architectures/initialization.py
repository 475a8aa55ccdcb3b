"""Weight initialisation of kdrun's convolutional networks."""

from torch import nn


def initialize_convolutions(model: nn.Module) -> None:
    """Kaiming-normal init by fan-out, zero biases (He et al., 2015); linear layers keep torch's."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
