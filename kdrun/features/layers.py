"""The layers of a model and their output shapes."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerInfo:
    """A module of a model, as observed in one forward pass.

    Attributes:
        path: module path.
        kind: class name.
        shape: of the last output, without the batch; None if the output is not one tensor.
        calls: number of calls.
        overwritten: whether an output was changed in place after it was returned, so that a hook
            would capture other values than the layer computed.
    """

    path: str
    kind: str
    shape: tuple[int, ...] | None
    calls: int
    overwritten: bool


def describe_layers(model: nn.Module, example: Tensor) -> list[LayerInfo]:
    """Describe every module of the model in order, from a forward pass on (N, C, H, W) images.

    The pass runs in eval mode without gradients; the model is not changed.
    """
    modules = {path: module for path, module in model.named_modules() if path}
    outputs: dict[str, list[tuple[object, int]]] = defaultdict(list)

    def record(path: str, module: nn.Module, inputs: object, output: object) -> None:
        # Outputs are kept alive: a freed tensor's id could be reused by another.
        outputs[path].append((output, _version(output)))

    handles = [m.register_forward_hook(partial(record, path)) for path, m in modules.items()]
    try:
        with _eval_mode(model), torch.no_grad():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return [_describe(path, module, outputs[path]) for path, module in modules.items()]


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag


def _describe(path: str, module: nn.Module, outputs: list[tuple[object, int]]) -> LayerInfo:
    last = outputs[-1][0] if outputs else None
    return LayerInfo(
        path=path,
        kind=type(module).__name__,
        shape=tuple(last.shape[1:]) if isinstance(last, Tensor) else None,
        calls=len(outputs),
        overwritten=any(_version(output) != version for output, version in outputs),
    )


def _version(output: object) -> int:
    """torch's count of in-place changes; 0 unless the output is a tensor."""
    return output._version if isinstance(output, Tensor) else 0
