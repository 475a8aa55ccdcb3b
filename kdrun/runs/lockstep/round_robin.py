"""Round-robin training of stages: each takes a turn of one update."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass
class LockstepStage:
    """A stage that is trained beside others.

    Attributes:
        title: for messages.
        turns: its training.
        position: (epoch, batch) of its next update; (-1, -1) before it started, None at its end.
    """

    title: str
    turns: Interleavable[Summary]
    position: Position | None = (-1, -1)
    summary: Summary | None = None
    error: Exception | None = None

    def step(self) -> None:
        """Do one turn; keep its result or its error."""
        try:
            self.position = next(self.turns)
        except StopIteration as end:
            self.summary, self.position = end.value, None
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold its model and activations
            self.error, self.position = error, None


def take_turns(stages: Sequence[LockstepStage], stop: HeldStop) -> None:
    """Do turns until all stages are done; those behind go first."""
    try:
        while waiting := [one.position for one in stages if one.position is not None]:
            stop.held = stop.asked
            for stage in stages:
                if stage.position == min(waiting):
                    stage.step()
    finally:
        stop.held = None
