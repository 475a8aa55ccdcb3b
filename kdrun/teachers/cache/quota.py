"""Disk quota of the cache; least recently used pages are evicted."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from kdrun.teachers.cache.page_files import ROWS, PageFiles

DESCRIPTION = "key.json"


@dataclass(frozen=True)
class StoredPage:
    """A page on the disk: its size, and when it was last opened or written (Unix time)."""

    files: PageFiles
    num_bytes: int
    used: float


class CacheQuota:
    """All caches below a folder, as one run sees them.

    Args:
        root: the folder.
        max_bytes: of all pages below it; inf for no limit.
    """

    def __init__(self, root: Path, max_bytes: float) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._in_use: set[Path] = set()

    def folder(self, key: str) -> Path:
        """The folder of a cache of this run; its pages are not removed."""
        folder = self.root / key
        self._in_use.add(folder)
        return folder

    def make(self, num_bytes: int) -> bool:
        """Remove pages of others until so many bytes fit; False, and none removed, if they cannot.

        A run's own pages stay: it will come back to them, and least recently used is, of pages
        visited in turn, the one needed next.
        """
        pages = list(self.pages())
        excess = num_bytes + sum(page.num_bytes for page in pages) - self.max_bytes
        others = [page for page in pages if page.files.folder not in self._in_use]
        if excess > sum(page.num_bytes for page in others):
            return False
        for page in sorted(others, key=lambda page: page.used):
            if excess <= 0:
                break
            excess -= page.num_bytes if removed(page.files) else 0
        return excess <= 0

    def pages(self) -> Iterator[StoredPage]:
        """Every page, complete or not."""
        folders = self.root.iterdir() if self.root.is_dir() else ()
        for folder in folders:
            if folder.is_symlink() or not folder.is_dir():
                continue
            for path in folder.glob(f"*{ROWS}"):
                with suppress(OSError, ValueError):  # removed meanwhile, or no page of ours
                    status, files = path.lstat(), PageFiles(folder, int(path.stem))
                    used = max(status.st_atime, status.st_mtime)
                    yield StoredPage(files, status.st_size, used)


def removed(files: PageFiles) -> bool:
    """Remove a page that nobody writes, and its folder if it was the last; whether it is gone."""
    lock = files.lock()
    try:
        with lock.acquire(timeout=0):
            files.remove()
            # Under the lock; who is waiting at a lock file that is gone will see that it is.
            Path(lock.lock_file).unlink(missing_ok=True)
    except (OSError, Timeout):
        return False
    with suppress(OSError):  # another process has just removed it, or come back to it
        if {path.name for path in files.folder.iterdir()} <= {DESCRIPTION}:
            (files.folder / DESCRIPTION).unlink(missing_ok=True)
            files.folder.rmdir()
    return True
