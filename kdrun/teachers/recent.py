"""A small cache of the last few results, keyed by object identity."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class LastResults(Generic[V]):
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
