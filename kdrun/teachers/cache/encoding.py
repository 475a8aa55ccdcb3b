"""Encodings of stored logits: full rows in half or full precision, or top-k."""

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
    """Conversion of (N, K) logits to stored tensors of N rows and back."""

    @property
    def dtype(self) -> str:
        """Type of the stored values, float16 or float32."""
        ...

    @property
    def fields(self) -> Fields:
        """Name, little-endian type and row shape of each tensor."""
        ...

    def encode(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Encode (N, K) logits; copies."""
        ...

    def decode(self, stored: Sequence[Tensor]) -> Tensor:
        """Decode to (N, K) float32 logits."""
        ...

    def deviation(self, stored: Sequence[Tensor], logits: Tensor) -> Tensor:
        """(N,) largest error of a stored value against (N, K) logits."""
        ...

    def scale(self, logits: Tensor) -> Tensor:
        """(N,) reference magnitude of a deviation; at least 1."""
        ...


@dataclass(frozen=True)
class Dense:
    """All K logits. float32 is exact; float16 rounds and cannot hold logits above 65504."""

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
        """(N,) largest error of a logit."""
        return (self.decode(stored) - logits.float()).abs().amax(1)

    def scale(self, logits: Tensor) -> Tensor:
        """(N,) magnitude of the largest logit; rounding is relative to this."""
        return logits.float().abs().amax(1).clamp(min=1)


@dataclass(frozen=True)
class TopK:
    """Log-probabilities at T=1 of the top k classes, and the mean probability of the others.

    The remaining mass is spread uniformly over the other classes, so the top k keep their
    probabilities at T=1; at other temperatures the row is an approximation. Decoded logits are
    log-probabilities: the teacher's logits of the top k up to a constant per row.
    """

    classes: int
    k: int
    dtype: str

    @property
    def fields(self) -> Fields:
        """The top k classes; their log-probabilities, and the value of each other class."""
        index = "<i2" if self.classes <= 2**15 else "<i4"
        return [
            ("classes", index, (self.k,)),
            ("log_probabilities", FILE_TYPE[self.dtype], (self.k + 1,)),
        ]

    def encode(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Encode to the top k classes and k + 1 log-probabilities."""
        classes = logits.float().topk(self.k, dim=1).indices
        values = self._log_probabilities(classes, logits)
        index = torch.int16 if self.classes <= 2**15 else torch.int32
        return classes.to(index), values.to(TORCH_TYPE[self.dtype])

    def decode(self, stored: Sequence[Tensor]) -> Tensor:
        """Decode to (N, K) log-probabilities."""
        classes, values = stored[0].long(), stored[1].float()
        return values[:, -1:].repeat(1, self.classes).scatter_(1, classes, values[:, :-1])

    def deviation(self, stored: Sequence[Tensor], logits: Tensor) -> Tensor:
        """(N,) largest error of a probability at T=1."""
        # At the stored classes, not the top k of the logits: ties may be ordered differently.
        values = self._log_probabilities(stored[0].long(), logits)
        return (stored[1].float().exp() - values.exp()).abs().amax(1)

    def scale(self, logits: Tensor) -> Tensor:
        """Ones: probabilities are compared on an absolute scale."""
        return torch.ones(len(logits), device=logits.device)

    def _log_probabilities(self, classes: Tensor, logits: Tensor) -> Tensor:
        """(N, k + 1): of the given classes, and of each other class."""
        every = logits.float().log_softmax(1)
        others = every.scatter(1, classes, -math.inf).logsumexp(1, keepdim=True)
        mean = others - math.log(self.classes - self.k)
        # The lowest float16: its exponential is 0, as for any lower value.
        return torch.cat([every.gather(1, classes), mean], 1).clamp(min=-65504)


def make_encoding(classes: int, dtype: str, topk: int | None) -> Encoding:
    """The encoding for a number of classes; full rows if `topk` covers all of them."""
    if topk is None or topk >= classes:
        return Dense(classes, dtype)
    return TopK(classes, topk, dtype)


def total_variation(stored_logits: Tensor, logits: Tensor) -> Tensor:
    """(N,) half the L1 distance between the distributions at T=1."""
    difference = stored_logits.softmax(1) - logits.float().softmax(1)
    return difference.abs().sum(1) / 2
