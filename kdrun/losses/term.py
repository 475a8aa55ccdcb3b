"""The inputs of a loss term: the outputs of a model, and the point in training."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


class Outputs(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits: (N, K); of several teachers the first's.
        hidden: outputs of the layers that a term named, by path.
        attention: (N, heads, L, L) maps of the attention modules that a term named, by path.
        ensemble: the logits of every teacher where there are several.
    """

    logits: Tensor
    hidden: Mapping[str, Tensor] = {}
    attention: Mapping[str, Tensor] = {}
    ensemble: tuple[Tensor, ...] = ()


class StepContext(NamedTuple):
    """Where the training is: the temperature of the step, and the 0-based epoch."""

    T: float
    epoch: int = 0
