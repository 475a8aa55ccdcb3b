"""Download of data sets, and the folder for downloads."""

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from kdrun.errors import DataError, first_line
from kdrun.store.home import expand_home


def data_root(root: str | None) -> Path:
    """The given folder, else $KDRUN_DATA, else ~/.cache/kdrun."""
    return expand_home(
        root or os.environ.get("KDRUN_DATA") or "~/.cache/kdrun", "dataset.root=FOLDER"
    )


def fetch(name: str, root: Path, layout: str, download: Callable[[], object]) -> None:
    """Download into the root, one process at a time.

    Raises:
        DataError: the download failed, or the root cannot be written; names the files needed.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            download()
    except Exception as error:  # any error of the network, an archive or the disk
        raise DataError(
            f"{name}: the download to {root} failed ({first_line(error)}); try again, "
            f"or put {layout} below dataset.root yourself and set dataset.download=false"
        ) from error
