"""Errors that users can cause or meet, and their exit codes."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches


class KdrunError(Exception):
    """A failure with a message for the user; `code` is the process's exit code."""

    code = 70


class ConfigError(KdrunError):
    """A key, value or command that is not allowed."""

    code = 2


class DataError(KdrunError):
    """Missing, damaged or inconsistent data."""

    code = 3


class WeightsError(KdrunError):
    """A teacher, checkpoint or weights file that cannot be used."""

    code = 4


class DamagedError(WeightsError):
    """A file that kdrun wrote and that is not as it was written."""


class MisplacedError(DamagedError):
    """A finished stage that is another than the folder or the run says."""


class NumericError(KdrunError):
    """A non-finite loss or logit, or memory that ran out."""

    code = 5


class OutputError(KdrunError):
    """An output folder, lock or disk that cannot be used."""

    code = 6


class Stopped(KdrunError):
    """The run was told to stop and can go on from its last checkpoint."""

    code = 75


def reason(error: BaseException) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def first_line(error: BaseException) -> str:
    """`OSError: no space left`: its type too, on one line however much there is to say."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def some_of(names: Sequence[object], most: int = 8) -> str:
    """`a, b, ...`: names, of many the first."""
    return ", ".join([*map(str, names[:most]), *["..."] * (len(names) > most)])


def near_miss(name: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of the choices, or nothing where none is close."""

    def likeness(one: str) -> tuple[float, int]:
        # Of those equally close, the one that begins alike: of resnet21, resnet20.
        begins = next((n for n, (a, b) in enumerate(zip(name, one, strict=False)) if a != b), 0)
        return SequenceMatcher(None, name, one).ratio(), begins

    close = get_close_matches(name, list(choices), n=5, cutoff=0.6)
    return f"; did you mean '{max(close, key=likeness)}'?" if close else ""
