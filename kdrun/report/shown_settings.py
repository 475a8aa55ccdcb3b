"""Settings in tables for people: long numbers, as a sweeper draws them, in few digits."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_DIGITS = 6
"""Significant digits of a number that is shown as written."""

FEW_DIGITS, ALL_DIGITS = 4, 17

_NUMBER = re.compile(r"[-+]?(\d*\.?\d*)(e[-+]?\d+)?", re.IGNORECASE)


def shown_settings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copy rows with short `settings`; unequal values of a column stay unequal."""
    names = dict.fromkeys(name for row in rows for name in row["settings"])
    short = {name: short_values(row["settings"].get(name, "-") for row in rows) for name in names}
    return [
        {**row, "settings": {name: short[name][value] for name, value in row["settings"].items()}}
        for row in rows
    ]


def short_values(values: Iterable[str]) -> dict[str, str]:
    """Map each value of a column to its shown text."""
    different = dict.fromkeys(values)
    for digits in range(FEW_DIGITS, ALL_DIGITS):
        shown = {value: _short(value, digits) for value in different}
        if len(set(shown.values())) == len(shown):
            return shown
    return {value: value for value in different}


def _short(value: str, digits: int) -> str:
    found = _NUMBER.fullmatch(value)
    # Only fractions: a seed or a number of images is shown as it is.
    if (
        found is None
        or "." not in found[1]
        or len(found[1].replace(".", "").strip("0")) <= MOST_DIGITS
    ):
        return value
    return f"{float(value):.{digits}g}"
