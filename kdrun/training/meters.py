"""Epoch meters: sums on the device, read by the host without waiting."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kdrun.errors import NumericError

COUNT, CORRECT, TOTAL = "count", "correct", "total"
LOGITS, TEACHER, GRADIENT, GOOD = "logits", "teacher logits", "gradient", "good"


class EpochMeters:
    """Sums over an epoch on the device: images, correct predictions, loss, and each raw term.

    Adding a batch takes few operations: on a GPU small networks are bound by kernel launches.

    Args:
        terms: names of the loss terms.
        device: device of the sums.
        checks: names of other values that must be finite: first `checked` of `add`, last the
            gradient.
    """

    def __init__(
        self, terms: Iterable[str], device: torch.device, checks: Sequence[str] = ()
    ) -> None:
        losses = (TOTAL, *terms)
        self.names = (COUNT, CORRECT, *losses, *checks, GOOD)
        self.losses = slice(2, 2 + len(losses))
        dtype = torch.float32 if device.type == "mps" else torch.float64  # mps has no float64
        self.sums = torch.zeros(len(self.names), dtype=dtype, device=device)
        self._one = torch.ones((), device=device)
        self._factors: dict[int, Tensor] = {}

    @torch.no_grad()
    def add(
        self,
        loss: Tensor,
        terms: Mapping[str, Tensor],
        logits: Tensor,
        labels: Tensor,
        checked: Sequence[Tensor] = (),
    ) -> None:
        """Add one batch.

        Args:
            loss: mean over the N images.
            terms: mean of each term by name.
            logits: (N, K).
            labels: (N,) or (N, K).
            checked: tensors whose total sum is the first check.
        """
        decided = labels if labels.ndim == 1 else labels.argmax(1)
        correct = (logits.argmax(1) == decided).sum(dtype=torch.float32)
        added = [self._one, correct, loss, *terms.values()]
        if checked:
            sums = [one.sum(dtype=torch.float32) for one in checked]
            added.append(sum(sums[1:], start=sums[0]))
        values = torch.stack(added).to(self.sums.dtype)
        factors = self._factors_of(len(logits))
        self.sums[: len(values)].addcmul_(values, factors[: len(values)])

    def _factors_of(self, images: int) -> Tensor:
        """Return the factors of `add`: the number of images for means and the count, else 1."""
        if images not in self._factors:
            factors = torch.ones_like(self.sums)
            factors[0] = images
            factors[self.losses] = images
            self._factors[images] = factors
        return self._factors[images]

    @torch.no_grad()
    def close_update(self, gradient: Tensor | None, images: int) -> None:
        """Count an update as good if all sums are finite; a non-finite sum stays non-finite.

        Args:
            gradient: gradient norm for the last check.
            images: number of images of the update.
        """
        if gradient is not None:
            self.sums[-2].add_(gradient * images)
        # A non-finite value makes the sum non-finite, and inf - inf or nan - nan is nan.
        whole = self.sums.sum()
        self.sums[-1].add_((whole - whole) == 0)

    @torch.no_grad()
    def undo(self, sums: Tensor) -> None:
        """Restore the sums from before an update, and count the update as good."""
        self.sums.copy_(sums)
        self.sums[-1] += 1

    def clear(self) -> None:
        """Reset the sums for the next epoch."""
        self.sums.zero_()

    @property
    def images(self) -> int:
        """Number of images added."""
        return int(self.sums[0])

    @property
    def good(self) -> int:
        """Number of updates before the first non-finite sum."""
        return int(self.sums[-1])

    def means(self, values: Sequence[float]) -> dict[str, float]:
        """Return host values of `sums` as means over the images.

        Raises:
            NumericError: a value is not finite; names the terms.
        """
        sums = dict(zip(self.names, values, strict=True))
        count = sums.pop(COUNT)
        bad = [name for name, value in sums.items() if not abs(value) < float("inf")]
        if bad:
            raise NumericError(first_nonfinite(bad))
        return {name: value / max(1.0, count) for name, value in sums.items()}


def first_nonfinite(bad: Sequence[str]) -> str:
    """Name the first cause among non-finite sums, such as `loss term hard is not finite`."""
    for name in (LOGITS, TEACHER):
        if name in bad:
            return f"{name} are not finite"
    terms = [name for name in bad if name not in (TOTAL, GRADIENT)]
    if not terms and TOTAL not in bad:
        return "the gradient is not finite"
    return f"loss term {', '.join(terms or [TOTAL])} is not finite"


class NonBlockingReader:
    """Reader of a small device tensor that never waits for the device.

    On a CPU the tensor is read directly. On CUDA a copy is started at intervals and returned by a
    later poll.
    """

    def __init__(self, device: torch.device, interval: float = 0.25) -> None:
        self.device = device
        self.interval = 0.0 if device.type == "cpu" else interval
        self.started = 0.0
        self.copy: Tensor | None = None
        self.event: Any = None

    def poll(self, tensor: Tensor) -> list[float] | None:
        """Return the values, or None without newer ones since the last poll."""
        if self.device.type == "cpu":
            return tensor.tolist()
        if self.copy is None:
            if time.monotonic() - self.started >= self.interval:
                self._start(tensor)
            return None
        if self.event is not None and not self.event.query():
            return None
        values, self.copy = self.copy.tolist(), None
        return values

    def _start(self, tensor: Tensor) -> None:
        self.started = time.monotonic()
        if self.device.type == "cuda":
            host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self.copy = host.copy_(tensor, non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record()
        else:
            self.copy = tensor.cpu()
