"""Folders below the output root: creation, locks, clean-up, never through links."""

import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from kdrun.errors import OutputError
from kdrun.store.files import cannot_remove, cannot_write
from kdrun.store.regular_files import refuse_other_names

LOCK = ".lock"


def refuse_link(path: Path) -> None:
    """Refuse a path that is a link.

    Raises:
        OutputError: the path is a link.
    """
    if path.is_symlink():
        raise OutputError(
            f"{path}: is a link, and kdrun does not write through links; put a folder or file "
            "in its place (output_root= itself may be a link, or name another disk)"
        )


def refuse_links_to(folder: Path, below: Path) -> None:
    """Refuse links at any level between `below` (itself may be a link) and the folder.

    Raises:
        OutputError: a level is a link.
    """
    for path in (folder, *folder.parents):
        if path == below:
            return
        refuse_link(path)
        if not folder.is_relative_to(below):
            return


def refuse_links(folder: Path) -> None:
    """Refuse links and special files directly in the folder.

    Raises:
        OutputError: there is a link or special file.
    """
    for path in folder.iterdir():
        refuse_link(path)
        refuse_special(path)


def refuse_special(path: Path) -> None:
    """Refuse pipes, sockets and devices.

    Raises:
        OutputError: the path is neither a file nor a folder.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        raise OutputError(f"{path}: is neither a file nor a folder; remove it")


def refuse_hard_link(path: Path) -> None:
    """Refuse a file with several hard links.

    Raises:
        OutputError: the file has another name.
    """
    with suppress(FileNotFoundError):
        refuse_other_names(path, path.lstat())


def make_folder(folder: Path, below: Path) -> Path:
    """Create and return the folder, without links below `below`.

    Raises:
        OutputError: a level is a link, or the folder cannot be made.
    """
    refuse_links_to(folder, below)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def folder_lock(folder: Path) -> FileLock:
    """The lock of a folder, not held.

    Raises:
        OutputError: the lock file is a link, a hard link or special: locking would touch another
            file.
    """
    refuse_link(folder / LOCK)
    refuse_special(folder / LOCK)
    refuse_hard_link(folder / LOCK)
    return FileLock(folder / LOCK)


def remove_file(path: Path) -> None:
    """Remove a file if it exists.

    Raises:
        OutputError: the file cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_remove(path, error) from error


def rename(path: Path, target: Path) -> Path:
    """Rename within a folder; return the target.

    Raises:
        OutputError: the path cannot be renamed.
    """
    try:
        return path.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error


def remove_leftovers(folder: Path, pattern: str = ".tmp-*", age: float = 0.0) -> None:
    """Remove temporary files of processes killed while writing in the folder.

    Args:
        folder: the folder.
        pattern: of the file names.
        age: minimum seconds since their last change, if another process may be writing.

    Raises:
        OutputError: a file cannot be removed.
    """
    for path in folder.glob(pattern):
        if age and not _older(path, age):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove_file(path)


def _older(path: Path, age: float) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > age
    except OSError:  # gone meanwhile
        return False
