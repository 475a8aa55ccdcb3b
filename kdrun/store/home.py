"""Paths below the user's home folder."""

import os
from pathlib import Path

from kdrun.errors import ConfigError


def expand_home(path: str | Path, remedy: str = "write the path without ~") -> Path:
    """Return the path with a leading `~` replaced by the home folder.

    Args:
        path: as the user gave it.
        remedy: what to do where no home folder is known.

    Raises:
        ConfigError: there is no such home folder: HOME is not set and the user has no name, as in
            some containers, or `~name` names no user.
    """
    expanded = os.path.expanduser(path)
    first = expanded.partition("/")[0]
    if first == "~":
        raise ConfigError(
            f"{path}: this user has no home folder (HOME is not set); set HOME, or {remedy}"
        )
    if first.startswith("~"):
        raise ConfigError(f"{path}: no user {first[1:]} has a home folder here; {remedy}")
    return Path(expanded)
