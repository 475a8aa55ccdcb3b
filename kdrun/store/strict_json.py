"""Strict reading of JSON: finite numbers of 64 bits, bounded depth, text that can be encoded."""

import json
import math
import re
from typing import Any

DEPTH = 64
"""Levels of nesting; kdrun's own files have fewer than 20."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(content: bytes) -> Any:
    """The JSON value of the bytes.

    Raises:
        ValueError: it is not JSON, or holds what kdrun never writes.
        RecursionError: it is nested too deeply to be read.
    """
    data = json.loads(content, parse_constant=_refused, parse_float=_finite, parse_int=_integer)
    _check_depth(data)
    if _SURROGATE.search(content):  # half of a pair is no character
        json.dumps(data, ensure_ascii=False).encode()
    return data


def _refused(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text[:40])


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= 2**63:
        raise ValueError(f"{text[:40]} is no 64-bit integer")
    return int(text)


def _check_depth(data: Any) -> None:
    """Go down level by level, which no depth makes recursive."""
    level = [data]
    for _ in range(DEPTH):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise ValueError(f"nested more than {DEPTH} levels deep")


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
