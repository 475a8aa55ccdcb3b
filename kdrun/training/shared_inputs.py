"""Inputs shared by stages in lockstep: batches and their views."""

from collections.abc import Callable, Iterator
from typing import Protocol

from kdrun.data.batch import Batch
from kdrun.data.batch_views import Views
from kdrun.data.mixing import Mixing
from kdrun.training.interleaving import Position


class SharedInputs(Protocol):
    """Source of a stage's batches, possibly shared with other stages.

    Attributes:
        size: number of stages in lockstep now.
    """

    size: int

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """Return the batches of an epoch from a position on, made by `make`."""
        ...

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """Return the model inputs for the batch."""
        ...


class OwnInputs:
    """Inputs of a stage that is trained on its own."""

    size = 1

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """Return the batches made by `make`."""
        return make()

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """Return the model inputs for the batch."""
        return Views(batch, mixing)
