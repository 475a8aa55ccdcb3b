"""Small caches of results that several students share."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

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


class ResultsInUse(Generic[V]):
    """Results by key, each for as long as somebody holds it."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[Hashable, V] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, make: Callable[[], V | None]) -> V | None:
        """The result of the key, made unless it is in use; None where there is none to make."""
        result = self._held.get(key)
        if result is None:
            result = make()
            if result is not None:
                self._held[key] = result
        return result
