"""Single pass over the data for all stages of a lockstep group."""

from collections import deque
from collections.abc import Callable, Iterator

from kdrun.data.batch import Batch
from kdrun.data.batch_views import Views
from kdrun.data.mixing import Mixing
from kdrun.teachers.recent import LastResults
from kdrun.training.interleaving import Position

KEPT = 4
"""Number of updates whose batches are kept for later stages."""


class SharedPass:
    """Inputs of stages in lockstep, with batches read and views made only once.

    Args:
        size: number of stages.
        accumulate: batches per update.
    """

    def __init__(self, size: int, accumulate: int) -> None:
        self.size = size
        self._most = KEPT * accumulate
        self._batches: SharedBatches | None = None
        self._views: LastResults[Views] = LastResults(accumulate)

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """Yield the batches of an epoch from a position on, shared by stages at that position."""
        # Evaluated at the first request: stages that were behind have caught up by then.
        epoch, start = position
        if self._batches is None or not self._batches.has(position):
            self._batches = SharedBatches(epoch, start, make(), self._most)
        yield from self._batches.read(start)

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """Return the model inputs for the batch, made once."""
        return self._views.get(batch.images, lambda: Views(batch, mixing))


class SharedBatches:
    """One pass over an epoch's batches for several readers; the last batches are kept.

    Args:
        epoch: number of the epoch.
        start: number of the first batch.
        source: iterator of the batches.
        most: number of batches to keep.
    """

    def __init__(self, epoch: int, start: int, source: Iterator[Batch], most: int) -> None:
        self.epoch = epoch
        self.next = start
        self.source = source
        self.kept: deque[Batch] = deque(maxlen=most)
        self.error: Exception | None = None

    def has(self, position: Position) -> bool:
        """Whether the pass can be read from the position on."""
        epoch, batch = position
        return epoch == self.epoch and self.next - len(self.kept) <= batch <= self.next

    def read(self, start: int) -> Iterator[Batch]:
        """Yield the batches from number `start` on; every reader gets an error of the source."""
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
