"""Round-robin training of stages in turns of one update."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from kdrun.runs.executor import Summary
from kdrun.signals import Stop
from kdrun.training.interleaving import Interleavable, Position


class HeldStop:
    """Stop request that is constant within a round, so that all stages stop at the same update."""

    def __init__(self, request: Stop) -> None:
        self.request = request
        self.held: bool | None = None

    def __bool__(self) -> bool:
        return bool(self.request) if self.held is None else self.held

    @property
    def asked(self) -> bool:
        """Whether a stop has been requested by now."""
        return bool(self.request)


@dataclass
class LockstepStage:
    """A stage trained in lockstep with others.

    Attributes:
        title: name in messages.
        turns: generator of the training.
        position: (epoch, batch) of the next update; (-1, -1) before the start, None at the end.
    """

    title: str
    turns: Interleavable[Summary]
    position: Position | None = (-1, -1)
    summary: Summary | None = None
    error: Exception | None = None

    def step(self) -> None:
        """Run one turn; keep the result or the error."""
        try:
            self.position = next(self.turns)
        except StopIteration as end:
            self.summary, self.position = end.value, None
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # frames keep model and activations alive
            self.error, self.position = error, None


def take_turns(stages: Sequence[LockstepStage], stop: HeldStop) -> None:
    """Run turns until all stages are done; stages that are behind go first."""
    try:
        while waiting := [one.position for one in stages if one.position is not None]:
            stop.held = stop.asked
            for stage in stages:
                if stage.position == min(waiting):
                    stage.step()
    finally:
        stop.held = None
