"""Shapes: declarative checks of the structure and ranges of JSON data.

A shape is a leaf, `{"key": shape}` (`"key?"` is optional, other keys are allowed), `[shape]` for a
list, `Each(shape)` for a mapping with any keys, or `Maybe(shape)` to allow null.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError
from kdrun.store.files import read_json_lines, read_sealed

Shape = Any
_HASH = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Leaf:
    """A single value: its description and its test."""

    words: str
    test: Callable[[Any], bool]


@dataclass(frozen=True)
class Maybe:
    """The shape, or null."""

    shape: Shape


@dataclass(frozen=True)
class Each:
    """A mapping to values of the shape, with at least `least` entries."""

    shape: Shape
    least: int = 0


@dataclass(frozen=True)
class Some:
    """A list of values of the shape, with at least `least` entries."""

    shape: Shape
    least: int = 1


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_word(value: Any) -> bool:
    return value in ("inf", "-inf", "nan")


TEXT = Leaf("text", lambda value: isinstance(value, str))
FLAG = Leaf("true or false", lambda value: isinstance(value, bool))
INTEGER = Leaf("an integer", _is_int)
COUNT = Leaf("an integer >= 0", lambda value: _is_int(value) and value >= 0)
SEVERAL = Leaf("an integer >= 1", lambda value: _is_int(value) and value >= 1)
NUMBER = Leaf("a number", _is_number)
POSITIVE = Leaf("a number > 0", lambda value: _is_number(value) and value > 0)
AMOUNT = Leaf("a number >= 0", lambda value: _is_number(value) and value >= 0)
FRACTION = Leaf("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
MEASURE = Leaf("a number, inf or nan", lambda value: _is_number(value) or _is_word(value))
TEMPERATURE = Leaf(
    "a temperature",
    lambda value: value == "inf" or (_is_number(value) and 0 < value <= 1e6),
)
HASH = Leaf("a hash", lambda value: isinstance(value, str) and bool(_HASH.fullmatch(value)))
SHA256 = Leaf("a SHA-256", lambda value: isinstance(value, str) and bool(_SHA256.fullmatch(value)))
ANYTHING = Leaf("anything", lambda value: True)

LABEL: Shape = {"role": TEXT, "step?": Maybe(COUNT), "seed?": Maybe(COUNT), "arch": TEXT}
"""Fields that identify a stage."""


def one_of(*values: Any) -> Leaf:
    """One of the values."""
    return Leaf(" or ".join(map(repr, values)), lambda value: any(value == one for one in values))


def faults(value: Any, shape: Shape, where: str = "") -> Iterator[str]:
    """The deviations of the value from the shape, in words."""
    if isinstance(shape, Maybe):
        if value is not None:
            yield from faults(value, shape.shape, where)
    elif isinstance(shape, Leaf):
        if not shape.test(value):
            yield f"{where or 'it'} is {_brief(value)}, not {shape.words}"
    elif isinstance(shape, Each | dict):
        yield from _mapping_faults(value, shape, where)
    else:
        yield from _list_faults(value, shape, where)


def _mapping_faults(value: Any, shape: Each | dict[str, Shape], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where or 'it'} is {_brief(value)}, not an object"
        return
    inside = f"{where}." if where else ""
    if isinstance(shape, Each):
        if len(value) < shape.least:
            yield f"{where or 'it'} is empty"
        shape = dict.fromkeys(value, shape.shape)
        named = {name: (name, one) for name, one in shape.items()}
    else:
        named = {name.removesuffix("?"): (name, one) for name, one in shape.items()}
    for name, (written, one) in named.items():
        if name in value:
            yield from faults(value[name], one, f"{inside}{name}")
        elif not written.endswith("?"):
            yield f"{inside}{name} is missing"


def _list_faults(value: Any, shape: Some | list[Shape], where: str) -> Iterator[str]:
    inner, least = (shape.shape, shape.least) if isinstance(shape, Some) else (shape[0], 0)
    if not isinstance(value, list):
        yield f"{where or 'it'} is {_brief(value)}, not a list"
    elif len(value) < least:
        yield f"{where or 'it'} has {len(value)} entries, not {least} or more"
    else:
        for number, one in enumerate(value):
            yield from faults(one, inner, f"{where}[{number}]")


def _brief(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def check_shape(path: Path, value: Any, shape: Shape) -> None:
    """Check that a file's content has the shape.

    Raises:
        DamagedError: the content deviates from the shape.
    """
    fault = next(faults(value, shape), None)
    if fault is not None:
        raise DamagedError(f"{path} is damaged: {fault}")


def read_shaped(path: Path, shape: Shape) -> dict[str, Any]:
    """Read a sealed file and check its shape.

    Raises:
        DamagedError: the file is damaged, or not in the format of this kdrun.
    """
    content = read_sealed(path)
    check_shape(path, content, shape)
    return content


def read_shaped_lines(path: Path, shape: Shape) -> list[dict[str, Any]]:
    """Read a JSONL file and check the shape of its lines.

    Raises:
        DamagedError: a line deviates from the shape.
    """
    lines = read_json_lines(path)
    for number, line in enumerate(lines):
        fault = next(faults(line, shape), None)
        if fault is not None:
            raise DamagedError(f"{path} is damaged: in line {number + 1} {fault}")
    return lines
