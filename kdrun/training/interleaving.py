"""Interleavable work: generators that pause between updates."""

import time
from collections.abc import Generator
from typing import TypeVar

Position = tuple[int, int]
"""Where a training is between two updates: epoch, and batch of it."""

R = TypeVar("R")

Interleavable = Generator[Position, None, R]
"""Pauses before every update and after the last of an epoch; then it returns what it came to."""


def run_to_end(turns: Interleavable[R]) -> R:
    """Take all turns without a pause; returns what they came to."""
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result: R = end.value
            return result


class Stopwatch:
    """Seconds, those of pauses left out."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.began = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    def timed(self, turns: Interleavable[R]) -> Interleavable[R]:
        """The same turns; what others do between them is a pause."""
        while True:
            try:
                position = next(turns)
            except StopIteration as end:
                result: R = end.value
                return result
            paused = time.monotonic()
            yield position
            self.began += time.monotonic() - paused
