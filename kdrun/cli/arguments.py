"""Arguments shared by commands. Light imports only."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, near_miss
from kdrun.signals import importing


def places_given(words: Sequence[str]) -> dict[str, Any]:
    """Return the overrides for opening a finished run, checked."""
    from kdrun.runs.resume_overrides import checked_places  # imports Hydra

    return checked_places(words)


def taken_option(words: Sequence[str], *names: str) -> tuple[str | None, list[str]]:
    """Return the value of an option, None if not given, and the other words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(*names, dest="value")
    try:
        known, rest = parser.parse_known_args(list(words))
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    return known.value, rest


def named_folder(verb: str, words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Return the folder given as a command's first argument, and the other arguments."""
    if not words or "=" in words[0] or words[0].startswith("-"):
        raise ConfigError(f"{verb} needs a folder: kdrun {verb} outputs/...")
    folder = Path(words[0])
    if not folder.is_dir():
        siblings = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        raise ConfigError(f"{folder}: no such folder{near_miss(folder.name, siblings)}")
    return folder, words[1:]


def show(work: Callable[[Any], None], words: Sequence[str]) -> None:
    """Compose and check the config, then call the work with it."""
    with importing():
        from kdrun.config.compose import run_app
        from kdrun.config.parse import parse

    def task(composed: Any) -> None:
        work(parse(composed))

    run_app(words, task)
