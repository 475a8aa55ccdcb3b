"""Hidden states and attention maps by forward hooks, so that models stay plain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdrun.errors import ConfigError, near_miss
from kdrun.features.attention import has_known_map, multihead_map, qkv_map
from kdrun.features.layers import LayerInfo
from kdrun.models.heads import PENULTIMATE, head_input, head_path

_REMEDY = " ('kdrun layers MODEL' lists the usable layers)"
_NOT_TENSOR = "does not return one tensor"


class LayerError(ConfigError):
    """A layer without a capturable output or attention map."""


class Features(NamedTuple):
    """A model's logits for one batch and the features of its layers, by module path.

    `hidden` keeps each layer's own shape and precision; `attention` is (N, heads, L, L) float32,
    before dropout.
    """

    logits: Tensor
    hidden: dict[str, Tensor]
    attention: dict[str, Tensor]


@dataclass
class _Capture:
    """The output of one call of a layer, and torch's count of in-place changes at that time."""

    value: object
    version: int | None


_Captures = dict[str, list[_Capture]]


class FeatureExtractor:
    """A model with hooks that capture features. No nn.Module, so that state dicts are unchanged.

    Gradients flow through the features. The hooks are active only within a call of this object:
    other passes of the model capture nothing. Build it before the first call of a compiled
    `forward`: later hooks would have no effect. Inference mode and torch.compile keep no count of
    in-place changes, so there only `validate_layers` finds overwritten layers.

    Args:
        model: the model to hook.
        forward: runs the model, such as `torch.compile(model)`; the model itself by default.
        hidden: module paths, or `PENULTIMATE`, of the outputs to capture.
        attention: paths from `attention_modules` of the attention maps to capture.

    Raises:
        LayerError: an unknown path, or attention of an unknown kind.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[[Tensor], Tensor] | None = None,
        hidden: Sequence[str] = (),
        attention: Sequence[str] = (),
    ) -> None:
        self._forward = model if forward is None else forward
        self._active = False
        self._hidden: _Captures = {path: [] for path in hidden}
        self._attention: _Captures = {path: [] for path in attention}
        modules = {path: module for path, module in model.named_modules() if path}
        modules[PENULTIMATE] = modules[head_path(model)]
        for path in (*hidden, *attention):
            if path not in modules:
                raise LayerError(f"unknown layer '{path}'{near_miss(path, modules)}{_REMEDY}")
        for path in attention:
            if not has_known_map(modules[path]):
                raise LayerError(
                    f"no attention map can be captured of layer '{path}' "
                    f"({type(modules[path]).__name__}): it must be torch's MultiheadAttention or "
                    "timm's Attention, without a bias on its scores"
                )
        self._handles = [
            *(self._watch_hidden(modules[path], path) for path in self._hidden),
            *(self._watch_attention(modules[path], path) for path in self._attention),
        ]

    def __call__(self, images: Tensor) -> Features:
        """Run the model on (N, C, H, W) images.

        Raises:
            LayerError: a layer that was not called exactly once, did not return one tensor, or was
                overwritten in place afterwards; attention other than plain self-attention.
        """
        if not self._handles:
            return Features(self._forward(images), {}, {})
        self._active = True
        try:
            logits = self._forward(images)
            attention = _tensors(self._attention, "is no self-attention of tokens without a mask")
            return Features(logits, _tensors(self._hidden), attention)
        finally:
            self._active = False
            for captures in (*self._hidden.values(), *self._attention.values()):
                captures.clear()

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _watch_hidden(self, module: nn.Module, path: str) -> RemovableHandle:
        look = _head_input if path == PENULTIMATE else _output
        return module.register_forward_hook(self._hook(self._hidden[path], look))

    def _watch_attention(self, module: nn.Module, path: str) -> RemovableHandle:
        captures = self._attention[path]
        if isinstance(module, nn.MultiheadAttention):
            hook = self._hook(captures, multihead_map)
            return module.register_forward_hook(hook, with_kwargs=True)
        hook = self._hook(captures, partial(qkv_map, module))
        return module.get_submodule("qkv").register_forward_hook(hook)

    def _hook(self, captures: list[_Capture], look: Callable[..., object]) -> Callable[..., None]:
        def hook(module: nn.Module, *seen: object) -> None:
            if self._active:
                value = look(module, *seen)
                captures.append(_Capture(value, _version(value)))

        return hook


def validate_layers(
    model_name: str, layers: list[LayerInfo], wanted: Sequence[str], key: str
) -> None:
    """Check that all layers can be captured; list the others in one error.

    Args:
        model_name: as given by the user.
        layers: from `describe_layers`.
        wanted: module paths; `PENULTIMATE` is always allowed.
        key: config key of the layers, such as `loss.hint.layers`.

    Raises:
        LayerError: unusable layers, with the reasons.
    """
    known = {layer.path: layer for layer in layers}
    usable = [PENULTIMATE, *(path for path, layer in known.items() if not _fault_of(layer))]
    faults = []
    for path in dict.fromkeys(wanted):
        if path not in usable:
            layer = known.get(path)
            fault = f"is unknown{near_miss(path, usable)}" if layer is None else _fault_of(layer)
            faults.append(f"'{path}' {fault}")
    if faults:
        raise LayerError(
            f"{key} cannot use these layers of {model_name}: {'; '.join(faults)} "
            f"('kdrun layers {model_name}' lists the usable layers)"
        )


def _fault_of(layer: LayerInfo) -> str:
    return _fault(layer.calls, layer.shape is not None, layer.overwritten)


def _fault(calls: int, is_tensor: bool, overwritten: bool, other: str = _NOT_TENSOR) -> str:
    """The reason if a layer cannot be used, else empty."""
    faults = {
        "is never called in the forward pass": calls == 0,
        f"is called {calls} times in one forward pass": calls > 1,
        other: not is_tensor,
        "is overwritten in place after it returned": overwritten,
    }
    return next((fault for fault, applies in faults.items() if applies), "")


def _tensors(watched: _Captures, other: str = _NOT_TENSOR) -> dict[str, Tensor]:
    """The output tensor of each layer; `other` is the error text for any other output."""
    return {path: _one_tensor(path, captures, other) for path, captures in watched.items()}


def _one_tensor(path: str, captures: list[_Capture], other: str) -> Tensor:
    tensors = [capture.value for capture in captures if isinstance(capture.value, Tensor)]
    overwritten = any(c.version is not None and c.version != _version(c.value) for c in captures)
    fault = _fault(len(captures), len(tensors) == len(captures), overwritten, other)
    if fault:
        raise LayerError(f"layer '{path}' {fault}{_REMEDY}")
    return tensors[0]


def _version(value: object) -> int | None:
    """torch's count of in-place changes, or None if there is none."""
    if torch.compiler.is_compiling() or not isinstance(value, Tensor) or value.is_inference():
        return None
    return value._version


def _output(module: nn.Module, args: object, output: object) -> object:
    return output


def _head_input(module: nn.Module, args: tuple[Tensor, ...], output: object) -> Tensor:
    return head_input(args[0])
