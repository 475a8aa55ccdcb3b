"""Interleaved training: generators that pause between updates."""

import time
from collections.abc import Generator
from typing import TypeVar

Position = tuple[int, int]
"""Position of a training between two updates: epoch, and batch within the epoch."""

R = TypeVar("R")

Interleavable = Generator[Position, None, R]
"""Generator that pauses before every update and at the end of an epoch; returns a result."""


def run_to_end(turns: Interleavable[R]) -> R:
    """Run the generator to its end and return its result."""
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result: R = end.value
            return result


class Stopwatch:
    """Stopwatch that excludes pauses."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.began = time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Return the seconds since the start, excluding pauses."""
        return time.monotonic() - self.began

    def timed(self, turns: Interleavable[R]) -> Interleavable[R]:
        """Run the generator; time between its turns counts as a pause."""
        while True:
            try:
                position = next(turns)
            except StopIteration as end:
                result: R = end.value
                return result
            paused = time.monotonic()
            yield position
            self.began += time.monotonic() - paused
