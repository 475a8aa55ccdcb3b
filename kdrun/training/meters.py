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
    """Sums over an epoch on the device: images, correct decisions, loss, and each raw term.

    A batch is added by few operations: on a GPU small networks wait for the launches of kernels.

    Args:
        terms: names of the loss's terms.
        device: where they are summed up.
        checks: what else must be finite: first what `add` is given, last the gradient.
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
            terms: by name, likewise.
            logits: (N, K).
            labels: (N,) or (N, K).
            checked: for the first of the checks, which is the sum of all their numbers.
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
        """What `add` multiplies by: means over the images and their count, not the rest."""
        if images not in self._factors:
            factors = torch.ones_like(self.sums)
            factors[0] = images
            factors[self.losses] = images
            self._factors[images] = factors
        return self._factors[images]

    @torch.no_grad()
    def close_update(self, gradient: Tensor | None, images: int) -> None:
        """Count an update as good while all sums are finite; once one is not, it stays so.

        Args:
            gradient: its norm, for the last of the checks.
            images: of the update.
        """
        if gradient is not None:
            self.sums[-2].add_(gradient * images)
        # Of numbers that are not finite, the sum is not, and its difference to itself is none.
        whole = self.sums.sum()
        self.sums[-1].add_((whole - whole) == 0)

    @torch.no_grad()
    def undo(self, sums: Tensor) -> None:
        """Put back the sums from before an update, which counts as good all the same."""
        self.sums.copy_(sums)
        self.sums[-1] += 1

    def clear(self) -> None:
        """Begin the next epoch's sums."""
        self.sums.zero_()

    @property
    def images(self) -> int:
        """How many were added."""
        return int(self.sums[0])

    @property
    def good(self) -> int:
        """Updates before the first that made a sum non-finite."""
        return int(self.sums[-1])

    def means(self, values: Sequence[float]) -> dict[str, float]:
        """Host values of `sums` as means over the images.

        Raises:
            NumericError: one is not finite; names the terms.
        """
        sums = dict(zip(self.names, values, strict=True))
        count = sums.pop(COUNT)
        bad = [name for name, value in sums.items() if not abs(value) < float("inf")]
        if bad:
            raise NumericError(first_nonfinite(bad))
        return {name: value / max(1.0, count) for name, value in sums.items()}


def first_nonfinite(bad: Sequence[str]) -> str:
    """Says which of the non-finite sums the others come from: `loss term hard is not finite`."""
    for name in (LOGITS, TEACHER):
        if name in bad:
            return f"{name} are not finite"
    terms = [name for name in bad if name not in (TOTAL, GRADIENT)]
    if not terms and TOTAL not in bad:
        return "the gradient is not finite"
    return f"loss term {', '.join(terms or [TOTAL])} is not finite"


class NonBlockingReader:
    """The newest value of a small device tensor that has reached the host.

    On a CPU it is the tensor itself. On CUDA a copy is started now and then and handed out by a
    later poll, so that the host never waits for the device.
    """

    def __init__(self, device: torch.device, interval: float = 0.25) -> None:
        self.device = device
        self.interval = 0.0 if device.type == "cpu" else interval
        self.started = 0.0
        self.copy: Tensor | None = None
        self.event: Any = None

    def poll(self, tensor: Tensor) -> list[float] | None:
        """The values, or None while there are none newer than at the last poll."""
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
