"""Folding of BatchNorm into the convolution before it."""

import copy
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

# Largest change of a logit by rounding, relative to the largest logit.
_TOLERANCE = 1e-4

_IMAGES_CHECKED = 8


def fold_batchnorm(model: nn.Module, example: Tensor, keep: Collection[str] = ()) -> nn.Module:
    """A frozen copy in eval mode, with each BatchNorm2d folded into its only Conv2d input.

    Module paths are kept: a folded BatchNorm becomes an Identity, and hooks on it and on containers
    capture the same values. Only the output of a folded convolution differs, so list modules in
    `keep` if their raw output is needed. The given model is not changed; put hooks on the copy.

    Args:
        model: a classifier.
        example: (N, C, H, W) images; the pairs are found and checked on the first few.
        keep: module paths; convolutions that produce the output of one of them are not folded.

    Returns:
        The folded copy, or a plain copy if folding would change the logits of `example` by more
        than rounding.
    """
    # On the CPU: TF32 convolutions on a GPU differ by more than folding does.
    folded = _frozen_copy(model).cpu()
    example = example[:_IMAGES_CHECKED].cpu()
    with torch.no_grad():
        pairs, logits = _find_pairs(folded, example, keep)
        for conv, batchnorm in pairs:
            conv.weight, conv.bias = _fused(conv, batchnorm)
        _replace_by_identity(folded, {batchnorm for _, batchnorm in pairs})
        difference = (folded(example) - logits).abs().max()
    # This comparison fails for NaN.
    same = bool(difference <= _TOLERANCE * logits.abs().max())
    return folded.to(next(model.parameters()).device) if same else _frozen_copy(model)


def _frozen_copy(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).eval().requires_grad_(False)


def _fused(conv: nn.Conv2d, batchnorm: nn.BatchNorm2d) -> tuple[nn.Parameter, nn.Parameter]:
    assert batchnorm.running_mean is not None
    assert batchnorm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        batchnorm.running_mean,
        batchnorm.running_var,
        batchnorm.eps,
        batchnorm.weight,
        batchnorm.bias,
    )
    return nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)


def _replace_by_identity(model: nn.Module, modules: Collection[nn.Module]) -> None:
    for parent in model.modules():
        for name, child in parent.named_children():
            if child in modules:
                setattr(parent, name, nn.Identity().eval())


@dataclass
class _ConvOutput:
    """A tensor returned by a convolution, and its uses."""

    conv: nn.Conv2d
    tensor: Tensor
    batchnorms: list[nn.BatchNorm2d] = field(default_factory=list)
    has_other_use: bool = False


class _Trace(TorchDispatchMode):
    """A dispatch mode that follows the outputs of convolutions through a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[int, _ConvOutput] = {}  # by id: the tensors are held, so ids are unique
        self.calls: Counter[nn.Module] = Counter()
        self.in_batchnorm = False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if not self.in_batchnorm:
            for leaf in tree_leaves((args, kwargs)):
                if id(leaf) in self.outputs:
                    self.outputs[id(leaf)].has_other_use = True
        return func(*args, **(kwargs or {}))

    def after_conv(self, module: nn.Conv2d, inputs: object, output: Tensor) -> None:
        self.calls[module] += 1
        self.outputs[id(output)] = _ConvOutput(module, output)

    def before_batchnorm(self, module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        self.calls[module] += 1
        self.in_batchnorm = True
        source = self.outputs.get(id(inputs[0]))
        if source is not None:
            source.batchnorms.append(module)

    def after_batchnorm(self, module: nn.Module, inputs: object, output: object) -> None:
        self.in_batchnorm = False

    def after_kept(self, module: nn.Module, inputs: object, output: object) -> None:
        if id(output) in self.outputs:
            self.outputs[id(output)].has_other_use = True

    def pairs(self) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
        """Convolutions, each with the only BatchNorm on its output, both called once."""
        return [
            (output.conv, output.batchnorms[0])
            for output in self.outputs.values()
            if len(output.batchnorms) == 1
            and not output.has_other_use
            and self.calls[output.conv] == self.calls[output.batchnorms[0]] == 1
        ]


def _find_pairs(
    model: nn.Module, example: Tensor, keep: Collection[str]
) -> tuple[list[tuple[nn.Conv2d, nn.BatchNorm2d]], Tensor]:
    """The pairs to fold, and the logits of the example."""
    trace = _Trace()
    handles: list[RemovableHandle] = []
    for module in model.modules():
        # Exact types: a subclass may do more, such as timm's BatchNorm with activation.
        if type(module) is nn.Conv2d:
            handles.append(module.register_forward_hook(trace.after_conv))
        elif type(module) is nn.BatchNorm2d and module.running_mean is not None:
            handles.append(module.register_forward_pre_hook(trace.before_batchnorm))
            handles.append(module.register_forward_hook(trace.after_batchnorm))
    handles += [model.get_submodule(k).register_forward_hook(trace.after_kept) for k in keep]
    try:
        with trace:
            logits = model(example)
    finally:
        for handle in handles:
            handle.remove()
    return trace.pairs(), logits
