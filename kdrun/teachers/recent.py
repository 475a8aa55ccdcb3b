"""Small caches of results that several students share."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

V = TypeVar("V")


class LastResults(Generic[V]):
    """The last few results, keyed by object identity."""

    def __init__(self, most: int) -> None:
        self.kept: deque[tuple[object, V]] = deque(maxlen=most)

    def get(self, key: object, make: Callable[[], V]) -> V:
        """The result for the key, computed unless cached."""
        for known, answer in self.kept:
            if known is key:
                return answer
        answer = make()
        self.kept.append((key, answer))
        return answer


class ResultsInUse(Generic[V]):
    """Results by key, each cached as long as it is in use."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[Hashable, V] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, make: Callable[[], V | None]) -> V | None:
        """The result for the key, made unless in use; None if `make` returns None."""
        result = self._held.get(key)
        if result is None:
            result = make()
            if result is not None:
                self._held[key] = result
        return result
