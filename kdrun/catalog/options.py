"""Typed options with allowed ranges, checked in `config.parse`."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Any

from omegaconf import MISSING

from kdrun.errors import near_miss


@dataclass(frozen=True)
class Range:
    """An interval from low to high; `above` excludes low, `below` excludes high."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    infinite: bool = False

    def fault(self, value: float) -> str | None:
        """Return an error for a value out of range, else None; nan is out of range."""
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
    """A set of allowed words."""

    words: tuple[str, ...]

    def fault(self, value: str) -> str | None:
        """Return an error for a value that is not allowed, else None."""
        if value in self.words:
            return None
        return f"must be one of {', '.join(self.words)}{near_miss(str(value), self.words)}"


@dataclass(frozen=True)
class Pattern:
    """Text that matches a regular expression."""

    expression: str
    examples: str

    def fault(self, value: str) -> str | None:
        """Return an error for text that does not match, else None."""
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
    """Return a dataclass field for a number in the range."""
    rule = Range(low, high, above, below, infinite)
    return field(default=MISSING, metadata={"rule": rule})


def text(expression: str, examples: str) -> Any:
    """Return a dataclass field for text that matches the expression."""
    return field(default=MISSING, metadata={"rule": Pattern(expression, examples)})


def choice(*words: str) -> Any:
    """Return a dataclass field for one of the words."""
    return field(default=MISSING, metadata={"rule": Choice(words)})


Rule = Range | Choice | Pattern


@dataclass(frozen=True)
class Option:
    """A setting declared by a row: type, default, explanation, allowed values."""

    annotation: Any
    default: Any
    help: str
    rule: Rule | None = None

    def as_field(self) -> Any:
        """Return the dataclass field of the option."""
        metadata = {"rule": self.rule}
        if isinstance(self.default, list):
            return field(default_factory=self.default.copy, metadata=metadata)
        return field(default=self.default, metadata=metadata)


def real(default: float | None, help: str, low: float, high: float, **limits: bool) -> Option:
    """Return a float option from low to high, nullable if the default is; `limits`: see `Range`."""
    annotation = float if default is not None else float | None
    return Option(annotation, default, help, Range(low, high, **limits))


def whole(default: int | None, help: str, low: int, high: int) -> Option:
    """Return an integer option from low to high, nullable if the default is."""
    return Option(int if default is not None else int | None, default, help, Range(low, high))


def nullable(option: Option) -> Option:
    """Return the option with null allowed and the default kept."""
    return Option(option.annotation | None, option.default, option.help, option.rule)


def word(default: str, help: str, *words: str) -> Option:
    """Return an option that takes one of the words."""
    return Option(str, default, help, Choice(words))


def flag(default: bool | None, help: str) -> Option:
    """Return a boolean option, nullable if the default is."""
    return Option(bool if default is not None else bool | None, default, help)


def name(default: str | None, help: str) -> Option:
    """Return a text option, nullable if the default is."""
    return Option(str if default is not None else str | None, default, help)


def names(help: str) -> Option:
    """Return an option for a list of texts, empty by default."""
    return Option(list[str], [], help)


def make_section(title: str, options: Mapping[str, Option], about: str) -> type:
    """Return the dataclass of a config section with the options.

    Args:
        title: name of the class.
        options: options by key, in the order of `--help`.
        about: docstring of the class.
    """
    fields = [(key, option.annotation, option.as_field()) for key, option in options.items()]
    return make_dataclass(title, fields, namespace={"__doc__": about})


def option_lines(options: Mapping[str, Option], indent: int) -> list[str]:
    """Return the lines of `--help`, such as `alpha: 1.0   # weight of the target class`."""
    shown = {
        key: f"{' ' * indent}{key}: {_yaml(option.default)}" for key, option in options.items()
    }
    column = max(26, *(len(text) + 1 for text in shown.values())) if shown else 0
    return [f"{shown[key]:<{column}}# {option.help}" for key, option in options.items()]


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
