"""Download folders of data sets, and fetching one."""

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from kdrun.errors import DataError, first_line


def data_root(root: str | None) -> Path:
    """The folder given, or else $KDRUN_DATA, or else ~/.cache/kdrun."""
    return Path(root or os.environ.get("KDRUN_DATA") or "~/.cache/kdrun").expanduser()


def fetch(name: str, root: Path, layout: str, download: Callable[[], object]) -> None:
    """Download into the root, one process at a time.

    Raises:
        DataError: it failed, or the root cannot be written; says what to put there by hand.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            download()
    except Exception as error:  # whatever the network, an archive or the disk came up with
        raise DataError(
            f"{name}: the download to {root} failed ({first_line(error)}); try again, "
            f"or put {layout} below dataset.root yourself and set dataset.download=false"
        ) from error
