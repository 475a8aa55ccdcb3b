"""Fusion of convolution, addition and ReLU on a CPU.

The fused operations are the oneDNN post-operations that torch.compile uses on a CPU. They are not
public: any failure, in them or in tracing the model, only disables the fusion.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from kdrun.models.heads import PENULTIMATE, head_input, head_path

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.1}
"""Largest change by rounding, relative to the largest value."""

ADDITIONS = (operator.add, operator.iadd, torch.add)
RELUS = (F.relu, torch.relu)
RELU_METHODS = ("relu", "relu_")


class Convolution(nn.Module):
    """A convolution with optional `+ other` and ReLU, in one operation.

    Args:
        conv: source of the weights; no gradient reaches them.
        relu: whether a ReLU follows.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self.weight = conv.weight.detach()
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.options = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.activation = "relu" if relu else "none"

    def pack(self, dtype: torch.dtype) -> None:
        """Convert the weights to the dtype and the memory layout of the operation."""
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            self.weight.to(dtype), *self.options
        )
        self.bias = None if self.bias is None else self.bias.to(dtype)

    def forward(self, images: Tensor, other: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W'), of the weights' dtype."""
        dtype = self.weight.dtype
        images = images.to(dtype)
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(
                images, self.weight, self.bias, *self.options, self.activation, [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise.binary(
            images,
            other.to(dtype),
            self.weight,
            self.bias,
            *self.options,
            "add",
            1.0,
            None if self.activation == "none" else self.activation,
            [],
            "",
        )


class Tracer(fx.Tracer):
    """A tracer down to torch's modules that records the nodes of every module."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: dict[str, list[Any]] = {}
        self.outputs: dict[str, list[Any]] = {}

    def call_module(
        self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace one module; record its input and output nodes."""
        output = super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m)
        self.inputs.setdefault(path, []).append(args[0] if args else None)
        self.outputs.setdefault(path, []).append(output)
        return output


def fuse(
    model: nn.Module, example: Tensor, watched: Sequence[str], dtype: torch.dtype
) -> tuple[fx.GraphModule, list[str]] | None:
    """A fused copy that returns (logits, *outputs of the watched layers), and its fusions.

    Args:
        model: in eval mode, on the CPU, its BatchNorm folded; the copy shares its other weights.
        example: (N, C, H, W) images on which the copy must agree with the model.
        watched: module paths, or `PENULTIMATE`.
        dtype: compute type of the convolutions.

    Returns:
        None if the model cannot be traced, nothing can be fused, or the results differ by more
        than rounding.
    """
    try:
        traced = trace(model, watched)
        with torch.no_grad():
            expected = traced(example)
            fused = fuse_all(traced)
            same = agree([model(example), *traced(example)], [expected[0], *expected])
            for module in traced.modules():
                if isinstance(module, Convolution):
                    module.pack(dtype)
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                packed = traced(example)
            same = same and agree(packed, expected, TOLERANCES[dtype])
    except Exception:  # any error: the unfused model works as well, only slower
        return None
    if not same or not any(" + " in text for text in fused):
        return None
    return traced, fused


def trace(model: nn.Module, watched: Sequence[str]) -> fx.GraphModule:
    """The model as a graph that returns (logits, *outputs of the watched layers)."""
    tracer = Tracer()
    graph = tracer.trace(model)
    output = next(node for node in graph.nodes if node.op == "output")
    values = []
    for path in watched:
        if path == PENULTIMATE:
            (features,) = tracer.inputs[head_path(model)]
            with graph.inserting_before(output):
                values.append(graph.call_function(head_input, (features.node,)))
        else:
            (value,) = tracer.outputs[path]
            values.append(value.node)
    output.args = ((output.args[0], *values),)
    return fx.GraphModule(tracer.root, graph)


def fuse_all(traced: fx.GraphModule) -> list[str]:
    """Fuse convolution chains in place; return a description of each."""
    graph, modules = traced.graph, dict(traced.named_modules())
    for node in list(graph.nodes):
        if isinstance(module_of(node, modules), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    fused: list[str] = []
    for node in list(graph.nodes):
        conv = module_of(node, modules)
        if type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and conv.padding != "same":
            chain = Chain.after(node, modules)
            name = f"fused_{len(fused)}"
            modules[name] = Convolution(conv, chain.relu)
            traced.add_submodule(name, modules[name])
            chain.replace(graph, name)
            fused.append(chain.text)
    traced.delete_all_unused_submodules()
    graph.lint()
    traced.recompile()
    return fused


@dataclass
class Chain:
    """A convolution and the following operations, each the only user of the one before."""

    nodes: list[fx.Node]
    other: fx.Node | None = None
    relu: bool = False

    @classmethod
    def after(cls, conv: fx.Node, modules: dict[str, nn.Module]) -> "Chain":
        """The chain that starts with a convolution."""
        chain = cls([conv])
        user = only_user(conv)
        if user is not None and user.target in ADDITIONS and not user.kwargs:
            others = [operand for operand in user.args if operand is not conv]
            if len(others) == 1 and isinstance(others[0], fx.Node):
                chain.nodes.append(user)
                chain.other = others[0]
        user = only_user(chain.nodes[-1])
        if user is not None and is_relu(user, modules):
            chain.nodes.append(user)
            chain.relu = True
        return chain

    @property
    def text(self) -> str:
        """Path of the convolution and the names of the fused operations."""
        parts = [str(self.nodes[0].target), *(["add"] if self.other else [])]
        return " + ".join([*parts, *(["relu"] if self.relu else [])])

    def replace(self, graph: fx.Graph, name: str) -> None:
        """Replace the chain by a call of the module of this name."""
        first, last = self.nodes[0], self.nodes[-1]
        operands = (first.args[0],) if self.other is None else (first.args[0], self.other)
        with graph.inserting_before(last):
            last.replace_all_uses_with(graph.call_module(name, operands))
        for node in reversed(self.nodes):
            graph.erase_node(node)


def module_of(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    """The module called by the node, or None."""
    return modules[str(node.target)] if node.op == "call_module" else None


def only_user(node: fx.Node) -> fx.Node | None:
    """The only user of the node, or None."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether the node is a ReLU: a module, a function or a method."""
    if node.op == "call_module":
        return type(module_of(node, modules)) is nn.ReLU
    return node.target in (RELUS if node.op == "call_function" else RELU_METHODS)


def agree(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float = TOLERANCES[torch.float32]
) -> bool:
    """Whether all tensors agree up to rounding; False for NaN."""
    return all(
        bool((a - b).abs().max() <= tolerance * b.abs().max())
        for a, b in zip(ours, theirs, strict=True)
    )
