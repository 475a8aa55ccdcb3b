"""Reading of regular files only; links, pipes, sockets and devices are refused without blocking."""

import os
import stat
from io import BufferedReader
from pathlib import Path

from kdrun.errors import OutputError

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# Windows translates line ends unless the descriptor is opened as binary.
_READ = _FLAGS | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: the file cannot be opened, is a link, or is not a regular file.
    """
    if path.is_symlink():
        raise OSError(0, "it is a link, which kdrun does not make there")
    descriptor = os.open(path, _READ)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    raise OSError(0, "it is not a regular file")


def read_regular(path: Path) -> bytes:
    """The content of a regular file; raises the same errors as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def refuse_other_names(path: Path, status: os.stat_result) -> None:
    """Refuse a file with several hard links: writing would change the others too.

    Raises:
        OutputError: the file has another name.
    """
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        raise OutputError(
            f"{path}: is a hard link to a file that has another name too, which would be changed; "
            "put a copy in its place, or remove it"
        )
