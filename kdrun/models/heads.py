"""The classification head of a model."""

from torch import Tensor, nn

PENULTIMATE = "penultimate"
"""Name for the input of the classification head, the same for every model."""


def head_path(model: nn.Module) -> str:
    """Module path of the head: the last linear layer, else the last convolution.

    SqueezeNet ends in a 1×1 convolution; every other classifier in a linear layer.
    """
    paths = {path: module for path, module in model.named_modules() if path}
    linear = [path for path, module in paths.items() if isinstance(module, nn.Linear)]
    convolutions = [path for path, module in paths.items() if isinstance(module, nn.Conv2d)]
    return (linear or convolutions)[-1]


def head_of(model: nn.Module) -> nn.Module:
    """The classification head."""
    return model.get_submodule(head_path(model))


def head_classes(model: nn.Module) -> int:
    """Number of classes of the model's head."""
    return len(model.get_parameter(f"{head_path(model)}.weight"))


def replace_head(model: nn.Module, num_classes: int) -> None:
    """Replace the model's head by a newly initialised one for `num_classes` classes."""
    path = head_path(model)
    old = model.get_submodule(path)
    has_bias = old.bias is not None
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, num_classes, bias=has_bias)
    else:
        assert isinstance(old, nn.Conv2d)
        new = nn.Conv2d(old.in_channels, num_classes, kernel_size=1, bias=has_bias)
    model.set_submodule(path, new)


def head_input(features: Tensor) -> Tensor:
    """Reduce the head's input to (N, d): SqueezeNet classifies maps, other models vectors."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features.flatten(1)
