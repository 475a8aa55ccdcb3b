"""The verbs that read what finished runs left. Imports nothing heavy before one works."""

from collections.abc import Sequence
from pathlib import Path

from kdrun.errors import ConfigError, near_miss

LEVELS = ("basic", "full")


def analyze(words: Sequence[str]) -> None:
    """`kdrun analyze DIR [analysis=full]`: measure a finished run's models."""
    folder, rest = named_folder("analyze", words)
    levels = {f"analysis={level}": level for level in LEVELS}
    unknown = [word for word in rest if word not in levels]
    if unknown:
        raise ConfigError(f"analyze takes a folder and {' or '.join(levels)}, not {unknown[0]}")
    from kdrun.measurement.analyze import analyze_run
    from kdrun.report.run_page import write_report

    print(f"measured: {analyze_run(folder, levels[rest[-1]] if rest else LEVELS[-1])}")
    print(f"written: {write_report(folder)}")


def report(words: Sequence[str]) -> None:
    """`kdrun report DIR`: write the page of a finished run."""
    folder, rest = named_folder("report", words)
    if rest:
        raise ConfigError(f"report takes a folder, not {rest[0]}")
    from kdrun.report.run_page import write_report

    print(f"written: {write_report(folder)}")


def named_folder(verb: str, words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """The folder that a verb is given first, and the words after it."""
    if not words or "=" in words[0] or words[0].startswith("-"):
        raise ConfigError(f"{verb} needs a folder: kdrun {verb} outputs/...")
    folder = Path(words[0])
    if not folder.is_dir():
        siblings = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise ConfigError(f"{folder}: no such folder{near_miss(folder.name, siblings)}")
    return folder, words[1:]
