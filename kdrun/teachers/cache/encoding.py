"""Encoding of stored logits: whole rows in half or full precision, or the k largest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Fields = list[tuple[str, str, tuple[int]]]

TORCH_TYPE = {"float16": torch.float16, "float32": torch.float32}
FILE_TYPE = {"float16": "<f2", "float32": "<f4"}


class Encoding(Protocol):
    """How (N, K) logits become tensors of N rows and back."""

    @property
    def dtype(self) -> str:
        """float16 or float32, of what is stored."""
        ...

    @property
    def fields(self) -> Fields:
        """Name, little-endian type and shape of each tensor's row."""
        ...

    def encode(self, logits: Tensor) -> tuple[Tensor, ...]:
        """What is stored of (N, K) logits; copies."""
        ...

    def decode(self, stored: Sequence[Tensor]) -> Tensor:
        """(N, K) float32 logits."""
        ...

    def deviation(self, stored: Sequence[Tensor], logits: Tensor) -> Tensor:
        """(N,) largest distance of a stored number from what (N, K) logits say of it."""
        ...

    def scale(self, logits: Tensor) -> Tensor:
        """(N,) what a deviation is to be compared with; at least 1."""
        ...


@dataclass(frozen=True)
class Dense:
    """All K logits. float32 keeps every bit; float16 rounds, and has no logits above 65504."""

    classes: int
    dtype: str

    @property
    def fields(self) -> Fields:
        """The logits."""
        return [("logits", FILE_TYPE[self.dtype], (self.classes,))]

    def encode(self, logits: Tensor) -> tuple[Tensor, ...]:
        """The logits, rounded."""
        return (logits.to(TORCH_TYPE[self.dtype], copy=True),)

    def decode(self, stored: Sequence[Tensor]) -> Tensor:
        """The logits."""
        return stored[0].float()

    def deviation(self, stored: Sequence[Tensor], logits: Tensor) -> Tensor:
        """(N,) largest distance of a logit."""
        return (self.decode(stored) - logits.float()).abs().amax(1)

    def scale(self, logits: Tensor) -> Tensor:
        """(N,) magnitude of the largest logit: rounding is relative to it."""
        return logits.float().abs().amax(1).clamp(min=1)


@dataclass(frozen=True)
class TopK:
    """The log-probabilities at T=1 of the k likeliest classes, and of the others their mean mass.

    What is left of the mass is spread uniformly over the other classes and not given to the k, so
    at T=1 the k keep their probabilities; at other temperatures the row is an approximation. The
    logits that come back are log-probabilities, equal to the teacher's but for a constant a row.
    """

    classes: int
    k: int
    dtype: str

    @property
    def fields(self) -> Fields:
        """The likeliest classes; their log-probabilities, and that of one of the others."""
        index = "<i2" if self.classes <= 2**15 else "<i4"
        return [
            ("classes", index, (self.k,)),
            ("log_probabilities", FILE_TYPE[self.dtype], (self.k + 1,)),
        ]

    def encode(self, logits: Tensor) -> tuple[Tensor, ...]:
        """The k likeliest classes and k + 1 log-probabilities."""
        classes = logits.float().topk(self.k, dim=1).indices
        values = self._log_probabilities(classes, logits)
        index = torch.int16 if self.classes <= 2**15 else torch.int32
        return classes.to(index), values.to(TORCH_TYPE[self.dtype])

    def decode(self, stored: Sequence[Tensor]) -> Tensor:
        """(N, K) log-probabilities."""
        classes, values = stored[0].long(), stored[1].float()
        return values[:, -1:].repeat(1, self.classes).scatter_(1, classes, values[:, :-1])

    def deviation(self, stored: Sequence[Tensor], logits: Tensor) -> Tensor:
        """(N,) largest distance of a probability at T=1."""
        # At the stored classes, not at the logits' own k likeliest: ties change places.
        values = self._log_probabilities(stored[0].long(), logits)
        return (stored[1].float().exp() - values.exp()).abs().amax(1)

    def scale(self, logits: Tensor) -> Tensor:
        """Ones: probabilities are compared as they are."""
        return torch.ones(len(logits), device=logits.device)

    def _log_probabilities(self, classes: Tensor, logits: Tensor) -> Tensor:
        """(N, k + 1): of the classes given, and of one of the others."""
        every = logits.float().log_softmax(1)
        others = every.scatter(1, classes, -math.inf).logsumexp(1, keepdim=True)
        mean = others - math.log(self.classes - self.k)
        # The least of float16, whose exponential is 0 like that of anything below it.
        return torch.cat([every.gather(1, classes), mean], 1).clamp(min=-65504)


def make_encoding(classes: int, dtype: str, topk: int | None) -> Encoding:
    """How rows of so many classes are stored; a `topk` of all of them or more stores them all."""
    if topk is None or topk >= classes:
        return Dense(classes, dtype)
    return TopK(classes, topk, dtype)


def total_variation(stored_logits: Tensor, logits: Tensor) -> Tensor:
    """(N,) half the L1 distance of the two distributions at T=1."""
    difference = stored_logits.softmax(1) - logits.float().softmax(1)
    return difference.abs().sum(1) / 2
