"""Paths below the user's home folder."""

import os
from pathlib import Path

from kdrun.errors import ConfigError


def expand_home(path: str | Path, remedy: str = "write the path without ~") -> Path:
    """Return the path with a leading `~` replaced by the home folder.

    The home of an unknown user, as in `~name/x`, is left as it is, and missing wherever it is used.

    Args:
        path: as the user gave it.
        remedy: what to do where no home folder is known.

    Raises:
        ConfigError: HOME is not set and the user has no name, as in some containers.
    """
    expanded = os.path.expanduser(path)
    if expanded.partition("/")[0] == "~":
        raise ConfigError(
            f"{path}: this user has no home folder (HOME is not set); set HOME, or {remedy}"
        )
    return Path(expanded)
