"""Strict JSON parsing: finite 64-bit numbers, bounded depth, encodable text."""

import json
import math
import re
from typing import Any

DEPTH = 64
"""Maximum nesting depth; kdrun's own files have fewer than 20 levels."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(content: bytes) -> Any:
    """Parse the JSON value of the bytes.

    Raises:
        ValueError: not JSON, or content that kdrun never writes.
        RecursionError: too deeply nested.
    """
    data = json.loads(content, parse_constant=_refused, parse_float=_finite, parse_int=_integer)
    _check_depth(data)
    if _SURROGATE.search(content):  # refuses lone surrogates
        json.dumps(data, ensure_ascii=False).encode()
    return data


def _refused(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text[:40])


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= 2**63:
        raise ValueError(f"{text[:40]} is not a 64-bit integer")
    return int(text)


def _check_depth(data: Any) -> None:
    """Refuse deep nesting, level by level without recursion."""
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
