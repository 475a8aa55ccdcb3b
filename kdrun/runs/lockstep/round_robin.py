"""Round-robin training of stages, and the pass over the data that they share."""

import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from kdrun.data.batch import Batch
from kdrun.runs.executor import Summary
from kdrun.signals import Stop
from kdrun.training.interleaving import Interleavable, Position


class HeldStop:
    """A stop request that does not change within a round, so that all stop at one update."""

    def __init__(self, request: Stop) -> None:
        self.request = request
        self.held: bool | None = None

    def __bool__(self) -> bool:
        return bool(self.request) if self.held is None else self.held

    @property
    def asked(self) -> bool:
        """Whether it was asked for by now."""
        return bool(self.request)


class SharedBatches:
    """One pass over an epoch's batches, read by several; the last few are kept.

    Args:
        epoch: whose.
        start: number of the first batch.
        source: the batches.
        most: how many are kept.
    """

    def __init__(self, epoch: int, start: int, source: Iterator[Batch], most: int) -> None:
        self.epoch = epoch
        self.next = start
        self.source = source
        self.kept: deque[Batch] = deque(maxlen=most)
        self.error: Exception | None = None

    def has(self, position: Position) -> bool:
        """Whether it can be read from the position on."""
        epoch, batch = position
        return epoch == self.epoch and self.next - len(self.kept) <= batch <= self.next

    def read(self, start: int) -> Iterator[Batch]:
        """The batches from number `start` on; what the source fails with, every reader gets."""
        while True:
            if start == self.next:
                if self.error is not None:
                    raise self.error
                try:
                    batch = next(self.source, None)
                except Exception as error:
                    self.error = error
                    raise
                if batch is None:
                    return
                self.kept.append(batch)
                self.next += 1
            yield self.kept[start - self.next]
            start += 1


@dataclass
class LockstepStage:
    """A stage that is trained beside others.

    Attributes:
        title: for messages.
        turns: what it does.
        position: where it waits; before its first turn, before everything.
    """

    title: str
    turns: Interleavable[Summary]
    position: Position | None = (-1, -1)
    summary: Summary | None = None
    error: Exception | None = None

    def step(self) -> None:
        """Do one turn; what it came to, or failed with, is kept."""
        try:
            self.position = next(self.turns)
        except StopIteration as end:
            self.summary, self.position = end.value, None
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold its model and activations
            self.error, self.position = error, None
