"""Opening of regular files only, and file stamps for detecting changes."""

import os
import stat
from io import BufferedReader

from kdrun.errors import DataError

Stamp = tuple[int, int, int, int]

CHUNK = 1 << 20  # bytes read at a time

_POSITIVE = 2**63 - 1  # makes every number fit an int64
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def stamp(status: os.stat_result) -> Stamp:
    """Size, modification time, change time and inode of a file.

    Programs can set the modification time but not the change time, so a file written in place has
    another stamp even if size and modification time are restored. On Windows the third is the
    creation time, leaving only size and modification time to detect changes.
    """
    size, modified, changed = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    size, modified, changed, inode = (
        number & _POSITIVE for number in (size, modified, changed, status.st_ino)
    )
    return size, modified, changed, inode


def check_regular(path: str, status: os.stat_result) -> None:
    """Refuse special files: reading them could hang or never end.

    Raises:
        DataError: a pipe, device, socket or folder; names it.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise DataError(f"{path}: {kind}, not an image file; remove it")


def open_regular(path: str) -> BufferedReader:
    """Open a regular file for reading; a pipe does not block.

    Raises:
        DataError: not a regular file.
        OSError: the file cannot be opened.
    """
    descriptor = os.open(path, _OPEN)
    try:
        check_regular(path, os.fstat(descriptor))
    except DataError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")
