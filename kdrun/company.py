"""What stages share that are trained side by side; a stage by itself shares nothing."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from kdrun.data.batch import Batch
from kdrun.data.views import Mixing
from kdrun.engine import Views
from kdrun.turns import Position, Turns, drained

if TYPE_CHECKING:
    from kdrun.job import Job, Setting
    from kdrun.teacher import Teacher

V = TypeVar("V")

Summary = dict[str, Any]


class Company(Protocol):
    """How the stages of a run are trained, and where they get what others may have too.

    Attributes:
        size: how many stages are trained side by side now.
    """

    size: int

    def train(
        self, turns: Turns[Summary], job: "Job", setting: "Setting", teachers: list["Teacher"]
    ) -> Summary:
        """Do all turns of a job's stage."""
        ...

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """The batches of an epoch from a position on, which `make` makes."""
        ...

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """The batch as the models take it."""
        ...


class Alone:
    """Nobody beside."""

    size = 1

    def train(
        self, turns: Turns[Summary], job: "Job", setting: "Setting", teachers: list["Teacher"]
    ) -> Summary:
        """Do all turns of a job's stage."""
        return drained(turns)

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """The batches as `make` makes them."""
        return make()

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """The batch as the models take it."""
        return Views(batch, mixing)


class Recent(Generic[V]):
    """The last few answers, by the very object that was asked about."""

    def __init__(self, most: int) -> None:
        self.kept: deque[tuple[object, V]] = deque(maxlen=most)

    def get(self, key: object, make: Callable[[], V]) -> V:
        """The answer about the key, made unless it is kept."""
        for known, answer in self.kept:
            if known is key:
                return answer
        answer = make()
        self.kept.append((key, answer))
        return answer
