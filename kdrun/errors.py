"""Errors reported to the user, and their exit codes."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches


class KdrunError(Exception):
    """A failure with a message for the user; `code` is the process's exit code."""

    code = 70


class ConfigError(KdrunError):
    """An invalid key, value or command."""

    code = 2


class DataError(KdrunError):
    """Missing, damaged or inconsistent data."""

    code = 3


class WeightsError(KdrunError):
    """A teacher, checkpoint or weights file that cannot be used."""

    code = 4


class DamagedError(WeightsError):
    """A file of kdrun's that was changed or damaged after it was written."""


class MisplacedError(DamagedError):
    """A finished stage in the place of another one."""


class NumericError(KdrunError):
    """A non-finite loss or logit, or out of memory."""

    code = 5


class OutputError(KdrunError):
    """An output folder, lock or disk that cannot be used."""

    code = 6


class Stopped(KdrunError):
    """A stop on request; the run can be resumed from its last checkpoint."""

    code = 75


def reason(error: BaseException) -> str:
    """First line of the error's message; its type if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def first_line(error: BaseException) -> str:
    """The error's type and the first line of its message: `OSError: no space left`."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def some_of(names: Sequence[object], most: int = 8) -> str:
    """`a, b, ...`: the first `most` names."""
    return ", ".join([*map(str, names[:most]), *["..."] * (len(names) > most)])


def near_miss(name: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest choice; empty if none is close. Case is ignored."""
    given = name.casefold()
    spelled: dict[str, str] = {}
    for one in choices:
        if one not in spelled.values():
            spelled[one if one.casefold() in spelled else one.casefold()] = one

    def likeness(one: str) -> tuple[float, int]:
        # Ties go to the longest common prefix: resnet20 for resnet21.
        begins = next((n for n, (a, b) in enumerate(zip(given, one, strict=False)) if a != b), 0)
        return SequenceMatcher(None, given, one).ratio(), begins

    close = get_close_matches(given, list(spelled), n=5, cutoff=0.6)
    return f"; did you mean '{spelled[max(close, key=likeness)]}'?" if close else ""
