"""Inputs that stages trained side by side share: batches and their views."""

from collections.abc import Callable, Iterator
from typing import Protocol

from kdrun.data.batch import Batch
from kdrun.data.batch_views import Views
from kdrun.data.mixing import Mixing
from kdrun.training.interleaving import Position


class SharedInputs(Protocol):
    """Where the stages of a run get their batches, which others may have too.

    Attributes:
        size: how many stages are trained side by side now.
    """

    size: int

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """The batches of an epoch from a position on, which `make` makes."""
        ...

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """The batch as the models take it."""
        ...


class OwnInputs:
    """The inputs of a stage that shares nothing."""

    size = 1

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """The batches as `make` makes them."""
        return make()

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """The batch as the models take it."""
        return Views(batch, mixing)
