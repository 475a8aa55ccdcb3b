"""Overrides with paths, and other values that Hydra's grammar needs in quotes."""

import os
import re
import shlex
from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

PATH = re.compile(
    r"(\+{0,2}(?:dataset\.root|output_root|(?:teacher|student)\.weights|hydra\.(?:run|sweep)\.dir))"
    r"=(.*)",
    re.DOTALL,
)
EXPANDED = re.compile(
    r"(\+{0,2}(?:output_root|hydra\.(?:run|sweep)\.dir)|--config-dir|-cd|--config-path|-cp)=(~.*)",
    re.DOTALL,
)
"""What nothing else expands: Hydra makes these folders itself."""

PLAIN = re.compile(r"[\w/\-\\+.$%*@?|:\s]", re.ASCII)
"""Characters that Hydra reads without quotes."""

AMBIGUOUS = re.compile(r"Ambiguous value for argument '(.*?)'", re.DOTALL)


def readable(words: Iterable[str]) -> list[str]:
    """Expand `~` in folders, and quote paths that Hydra could not read otherwise."""
    words = list(words)
    sweep = not {"-m", "--multirun"}.isdisjoint(words)
    return [_quoted_path(_expanded(word), sweep) for word in words]


def unreadable(override: str) -> str:
    """The error message for an override that Hydra cannot read, with the quotes it needs."""
    key, equals, value = override.partition("=")
    if not equals or not reads(f"{key}=x"):
        return f"cannot read {one_line(override)}: write settings as key=value"
    sign = trouble(value)
    name = f"'{sign}'" if sign != "'" else "an apostrophe"
    closing = dict(zip("([{", ")]}", strict=True)).get(sign, sign)
    needs = "needs" if value.count(sign) == value.count(closing) else f"needs a '{closing}', or"
    quoted = one_line(example(key, value))
    return f"cannot read {one_line(override)}: {name} {needs} quotes: {quoted}"


def ambiguous(message: str) -> str | None:
    """The error message for a list of values outside a sweep; None for other messages of Hydra."""
    found = AMBIGUOUS.search(message)
    if found is None:
        return None
    key, _, value = found[1].partition("=")
    return (
        f"{one_line(found[1])}: ',' separates the values of a sweep; for one value with a comma "
        f"write {one_line(example(key, value))}, for a list {key}=[{one_line(value)}], for a "
        "sweep add -m"
    )


def trouble(value: str) -> str:
    """The first character that needs quotes: one that is never plain, else a bracket, = or ,."""
    special = [sign for sign in value if not PLAIN.match(sign)]
    never = [sign for sign in special if sign not in "()[]{}=,"]
    return ([*never, *special] or [value[:1]])[0]


def example(key: str, value: str) -> str:
    """The override with its value, or with the elements of its list, in quotes, for a shell."""
    if value.startswith("[") and value.endswith("]"):
        inner = [one.strip() for one in value[1:-1].split(",")]
        text = ",".join(one if reads(f"x={one}") else in_quotes(one) for one in inner)
        return shlex.quote(f"{key}=[{text}]")
    return shlex.quote(f"{key}={in_quotes(value)}")


def in_quotes(value: str) -> str:
    """The value in double quotes of Hydra's grammar."""
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return '"' + escaped + "\\" * trailing + '"'


def reads(override: str) -> bool:
    """Whether Hydra can read the override."""
    return _parsed(override) is not None


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def _expanded(word: str) -> str:
    found = EXPANDED.fullmatch(word)
    return word if found is None else f"{found[1]}={os.path.expanduser(found[2])}"


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
