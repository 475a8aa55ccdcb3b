"""Inspection of a model: layers, widths and attention modules for loss terms."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from kdrun.features.attention import attention_modules
from kdrun.features.layers import LayerInfo, describe_layers
from kdrun.models.heads import PENULTIMATE, head_path


def width_of(shape: Sequence[int]) -> int:
    """The width of a hidden state, from its shape without batch: (C, H, W), (L, d) or (d,)."""
    return shape[0] if len(shape) == 3 else shape[-1]


@dataclass(frozen=True)
class InspectedModel:
    """Name, layers and attention modules of a model, as needed by loss terms."""

    name: str
    layers: list[LayerInfo]
    attention: list[str]
    penultimate: int

    def width(self, path: str) -> int:
        """The width of a layer's output."""
        if path == PENULTIMATE:
            return self.penultimate
        return next(width_of(layer.shape or ()) for layer in self.layers if layer.path == path)


def inspect_model(name: str, model: nn.Module, example: Tensor) -> InspectedModel:
    """Inspect a model in one forward pass on a few images."""
    head = model.get_submodule(head_path(model))
    assert isinstance(head, nn.Linear | nn.Conv2d)
    width = head.in_features if isinstance(head, nn.Linear) else head.in_channels
    return InspectedModel(name, describe_layers(model, example), attention_modules(model), width)
