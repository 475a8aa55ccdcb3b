"""Overrides with paths, and other values that Hydra's grammar needs in quotes."""

import re
import shlex
from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from kdrun.store.home import expand_home

PATH = re.compile(
    r"(\+{0,2}(?:dataset\.root|output_root|(?:teacher|student)\.weights|hydra\.(?:run|sweep)\.dir))"
    r"=(.*)",
    re.DOTALL,
)
EXPANDED = re.compile(
    r"(\+{0,2}(?:output_root|hydra\.(?:run|sweep)\.dir))=(~.*)",
    re.DOTALL,
)
"""What nothing else expands: Hydra makes these folders itself."""


def readable(words: Iterable[str], sweep: bool = False) -> list[str]:
    """Expand `~` in folders, and quote paths that Hydra could not read otherwise.

    Args:
        words: of the command line, flags left away.
        sweep: whether commas separate several paths.
    """
    return [_quoted_path(_expanded(word, sweep), sweep) for word in words]


def is_path(key: str) -> bool:
    """Whether the value of the key is a path."""
    return PATH.fullmatch(f"{key}=") is not None


def example(key: str, value: str) -> str:
    """The override with its value, or with the elements of its list, in quotes, for a shell."""
    if value.startswith("[") and value.endswith("]"):
        inner = [one.strip() for one in value[1:-1].split(",")]
        text = ",".join(one if reads(f"x={one}") else in_quotes(one) for one in inner)
        return shlex.quote(f"{key}=[{text}]")
    return shlex.quote(f"{key}={in_quotes(value)}")


def in_quotes(value: str) -> str:
    """The value in double quotes of Hydra's grammar."""
    return QuotedString(value, Quote.double).with_quotes()


def reads(override: str) -> bool:
    """Whether Hydra can read the override."""
    return _parsed(override) is not None


def _expanded(word: str, sweep: bool) -> str:
    found = EXPANDED.fullmatch(word)
    if found is None:
        return word
    parts = found[2].split(",") if sweep else [found[2]]
    return f"{found[1]}={','.join(str(expand_home(one)) for one in parts)}"


def _quoted_path(word: str, sweep: bool) -> str:
    """The word, its path quoted if Hydra cannot read it or reads a number, such as 7 for 007.

    Args:
        word: an argument of the command line.
        sweep: whether commas separate several paths.
    """
    found = PATH.fullmatch(word)
    if found is None:
        return word
    key, value = found.groups()
    override = _parsed(word)
    if override is not None and not isinstance(override.value(), int | float):
        return word
    if "," not in value:
        return f"{key}={in_quotes(value)}"
    parts = value.split(",")
    return f"{key}={','.join(map(in_quotes, parts))}" if sweep else word


def _parsed(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None
