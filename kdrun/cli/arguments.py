"""Arguments shared by commands. Light imports only."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdrun.config.flags import split_words
from kdrun.errors import ConfigError, near_miss, some_of
from kdrun.signals import importing
from kdrun.store.home import expand_home


def places_given(words: Sequence[str]) -> dict[str, Any]:
    """Return the overrides for opening a finished run, checked."""
    from kdrun.runs.resume_overrides import checked_places  # imports Hydra

    return checked_places(words)


def taken_option(words: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """Return the value of an option, None if not given, and the other words."""
    split = split_words(words)
    return split.flags.get(name), split.rest


def named_folder(verb: str, words: Sequence[str]) -> tuple[Path, list[str]]:
    """Return the folder among a command's arguments, and the other arguments."""
    # Hydra may name folders by settings, such as loss.T=1.
    likely = (word for word in words if "=" not in word or os.path.isdir(word))
    given = next(likely, None)
    if given is None:
        raise ConfigError(f"{verb} needs a folder: kdrun {verb} outputs/...")
    rest = list(words)
    rest.remove(given)
    return existing_folder(given), rest


def existing_folder(given: str) -> Path:
    """Return a folder given on the command line.

    Raises:
        ConfigError: it does not exist, or is a file.
    """
    folder = expand_home(given)
    if os.path.isdir(folder):  # unlike Path's, it takes names of any length
        return folder
    if os.path.exists(folder):
        raise ConfigError(f"{folder}: no folder but a file; give its folder: {folder.parent}")
    siblings = [path.name for path in folder.parent.glob("*") if os.path.isdir(path)]
    remedy = near_miss(folder.name, siblings) or f"; {folders_in(folder.parent, siblings)}"
    raise ConfigError(f"{folder}: no such folder{remedy}")


def folders_in(parent: Path, names: Sequence[str]) -> str:
    """Return which folders there are, as a remedy."""
    if not os.path.isdir(parent):
        return f"{parent} does not exist either; give the folder that kdrun named at its end"
    if not names:
        return f"there is no folder in {parent.resolve()}"
    return f"in {parent} there are {some_of(sorted(names))}"


def show(work: Callable[[Any], None], words: Sequence[str]) -> None:
    """Compose and check the config, then call the work with it."""
    with importing():
        from kdrun.config.compose import run_app
        from kdrun.config.parse import parse

    def task(composed: Any) -> None:
        work(parse(composed))

    run_app(words, task)
