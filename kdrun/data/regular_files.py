"""Opening of regular files only, and the stamp by which a changed file is noticed."""

import os
import stat
from io import BufferedReader

from kdrun.errors import DataError

Stamp = tuple[int, int, int, int]

_POSITIVE = 2**63 - 1  # an int64 holds any of the numbers so cut
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def stamp(status: os.stat_result) -> Stamp:
    """Size, time of modification, time of the last change of any kind, and inode.

    A program can set the second but not the third, so that a file written in place has another
    stamp even where size and modification time are put back. On Windows the third is the time of
    creation, which leaves size and modification time.
    """
    size, modified, changed = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    size, modified, changed, inode = (
        number & _POSITIVE for number in (size, modified, changed, status.st_ino)
    )
    return size, modified, changed, inode


def check_regular(path: str, status: os.stat_result) -> None:
    """Refuse what only looks like a file, and would hang or never end.

    Raises:
        DataError: it is a pipe, a device, a socket or a folder; names it.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise DataError(f"{path}: {kind}, not an image file; remove it")


def open_regular(path: str) -> BufferedReader:
    """Open a file for reading, never to wait for a pipe's other end.

    Raises:
        DataError: it is no regular file.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, _OPEN)
    try:
        check_regular(path, os.fstat(descriptor))
    except DataError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")
