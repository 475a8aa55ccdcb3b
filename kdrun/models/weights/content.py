"""The mappings of names to tensors in a checkpoint's content."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from kdrun.models.weights.described import Described
from kdrun.models.weights.stored_tensors import OddTensor, StoredTensor

AnyTensor = Tensor | StoredTensor | OddTensor
_DEPTH = 6
_SHOWN = 8
_KEY_SHOWN = 200


def tensor_mappings(content: Any) -> dict[str, dict[str, Any]]:
    """The mappings that hold tensors by name, by their path of keys; "" is the content itself.

    Outer mappings come first. Mappings of a description count, its attributes do not: a whole model
    is no state dict.
    """
    return {
        path: dict(mapping)
        for path, mapping in _mappings(content)
        if all(isinstance(key, str) for key in mapping)
        and any(isinstance(value, AnyTensor) for value in mapping.values())
    }


def _mappings(content: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every mapping once, level by level, so that shared or nested parts take no time."""
    seen: set[int] = set()
    level: list[tuple[str, Any]] = [("", content)]
    for _ in range(_DEPTH):
        below: list[tuple[str, Any]] = []
        for path, value in level:
            if id(value) in seen:
                continue
            seen.add(id(value))
            mapping = as_mapping(value)
            if mapping is not None:
                yield path, mapping
            named = [(key_text(key), one) for key, one in _parts(value)]
            below += [(f"{path}.{key}" if path else key, one) for key, one in named]
        level = below


def key_text(key: Any) -> str:
    """Return a key for paths and messages: text and small numbers as they are, else the type."""
    if isinstance(key, str):
        return key[:_KEY_SHOWN]
    small = isinstance(key, int) and abs(key) < 10**9
    return str(key) if small else f"<{type(key).__name__}>"


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """The value's entries if it is a mapping, or the description of one."""
    if isinstance(value, Described):
        return value.items or None
    return value if isinstance(value, dict) else None


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    mapping = as_mapping(value)
    if mapping is not None:
        yield from mapping.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def described_keys(content: Any, mappings: Mapping[str, Mapping[str, Any]]) -> str:
    """The keys of mappings with tensors, or else of the content, for a message."""
    if mappings:
        named = [
            f"{path} ({_count(one)})" if path else f"the file itself ({_count(one)})"
            for path, one in mappings.items()
        ]
    else:
        named = [key_text(key) for key in as_mapping(content) or ()]
    return ", ".join(named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")


def _count(mapping: Mapping[str, Any]) -> str:
    count = sum(isinstance(value, AnyTensor) for value in mapping.values())
    return f"{count} tensor{'' if count == 1 else 's'}"


def kind_of(value: Any) -> str:
    """What an entry is that is no usable tensor, for a message."""
    if isinstance(value, OddTensor):
        return f"{value.kind} ({value.remedy})"
    if isinstance(value, Described):
        return f"an object of {value.of.path}"
    return f"of type {type(value).__name__}"
