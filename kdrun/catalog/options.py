"""Typed options with ranges, declared beside a config field and checked in `config.parse`."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from kdrun.errors import near_miss


@dataclass(frozen=True)
class Range:
    """The numbers from low to high; `above` excludes low, `below` excludes high."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    infinite: bool = False

    def fault(self, value: float) -> str | None:
        """What is wrong with the value, or None. Tests positively, so that nan fails."""
        if self.infinite and value == math.inf:
            return None
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return None if over and under and math.isfinite(value) else f"must be {self}"

    def __str__(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'above' if self.above else 'at least'} {self.low:g}")
        if self.high < math.inf:
            bounds.append(f"{'below' if self.below else 'at most'} {self.high:g}")
        return (" and ".join(bounds) or "finite") + (", or inf" if self.infinite else "")


@dataclass(frozen=True)
class Choice:
    """One of the given words."""

    words: tuple[str, ...]

    def fault(self, value: str) -> str | None:
        """What is wrong with the value, or None."""
        if value in self.words:
            return None
        return f"must be one of {', '.join(self.words)}{near_miss(str(value), self.words)}"


@dataclass(frozen=True)
class Pattern:
    """Text that matches a regular expression."""

    expression: str
    examples: str

    def fault(self, value: str) -> str | None:
        """What is wrong with the value, or None."""
        matched = re.fullmatch(self.expression, value)
        return None if matched else f"must be written as in {self.examples}"


def number(
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    infinite: bool = False,
) -> Any:
    """A dataclass field that holds a number of the range."""
    rule = Range(low, high, above, below, infinite)
    return field(default=MISSING, metadata={"rule": rule})


def text(expression: str, examples: str) -> Any:
    """A dataclass field that holds text of the expression."""
    return field(default=MISSING, metadata={"rule": Pattern(expression, examples)})


def choice(*words: str) -> Any:
    """A dataclass field that holds one of the words."""
    return field(default=MISSING, metadata={"rule": Choice(words)})
