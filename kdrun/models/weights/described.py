"""Objects of a pickle as descriptions, and the builders of plain values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


class PickleError(ValueError):
    """A pickle that is damaged, or has an instruction that torch's files do not have."""


@dataclass(frozen=True)
class Global:
    """The name of a class or function."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """The dotted name."""
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Described:
    """An object as a pickle describes it, without the object itself.

    Attributes:
        of: its class or function.
        args: arguments of its construction.
        state: its attributes, usually a dict.
        items: entries, if it is a mapping.
        elements: elements, if it is a sequence.
    """

    of: Global
    args: Any = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


def hashable(key: Any) -> Any:
    """The key itself; deep tuples, whose hash would overflow the stack, are refused."""
    if isinstance(key, tuple | frozenset) and any(isinstance(k, tuple | frozenset) for k in key):
        raise PickleError("its pickle has nested tuples as keys")
    return key


def set_items(target: dict[Any, Any], pairs: list[Any]) -> None:
    """Add keys and values, which alternate in `pairs`."""
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        target[hashable(key)] = value


def _mapping(*args: Any) -> dict[Any, Any]:
    """A dict from another one, or from pairs."""
    made: dict[Any, Any] = {}
    for content in args:
        pairs = content.items() if isinstance(content, dict) else _listed(content)
        for key, value in pairs:
            made[hashable(key)] = value
    return made


def _default_mapping(*_factory: Any) -> dict[Any, Any]:
    return {}


def _elements(*args: Any) -> set[Any]:
    return {hashable(value) for content in args for value in _listed(content)}


def _listed(content: Any) -> Iterable[Any]:
    if not isinstance(content, list | tuple | set | frozenset):
        raise PickleError("its pickle is damaged: elements are not a list")
    return content


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """Bytes, which protocol 2 writes as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleError("its pickle is damaged: bytes are not text")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _reconstructed(of: Any, *_: Any) -> Described:
    """An object of the oldest pickle protocols."""
    if not isinstance(of, Global):
        raise PickleError("its pickle is damaged: it makes an object without a class")
    return Described(of)


PLAIN: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": _default_mapping,
    "builtins.dict": _mapping,
    "builtins.set": _elements,
    "builtins.frozenset": _elements,
    "builtins.bytes": _no_bytes,
    "_codecs.encode": _encoded,
    "copyreg._reconstructor": _reconstructed,
}
"""Builders of plain values, by the name in the pickle; anything else becomes a `Described`."""
