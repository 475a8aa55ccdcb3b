"""Disk quota of the cache, with eviction of the least recently used pages."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from kdrun.teachers.cache.page_files import ROWS, PageFiles

DESCRIPTION = "key.json"


@dataclass(frozen=True)
class StoredPage:
    """A page on disk: its size and the Unix time of its last use."""

    files: PageFiles
    num_bytes: int
    used: float


class CacheQuota:
    """Disk quota shared by all caches below a folder, for one run.

    Args:
        root: the folder.
        max_bytes: of all pages below the folder; inf for no limit.
    """

    def __init__(self, root: Path, max_bytes: float) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._in_use: set[Path] = set()

    def folder(self, key: str) -> Path:
        """The folder of a cache of this run, protected from eviction."""
        folder = self.root / key
        self._in_use.add(folder)
        return folder

    def make(self, num_bytes: int) -> bool:
        """Evict other runs' pages until `num_bytes` fit; False, evicting none, if impossible.

        A run's own pages stay: they will be used again, and of pages visited in turn the least
        recently used is needed next.
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
        """All pages, complete or not."""
        folders = self.root.iterdir() if self.root.is_dir() else ()
        for folder in folders:
            if folder.is_symlink() or not folder.is_dir():
                continue
            for path in folder.glob(f"*{ROWS}"):
                with suppress(OSError, ValueError):  # removed meanwhile, or not a page of kdrun
                    status, files = path.lstat(), PageFiles(folder, int(path.stem))
                    used = max(status.st_atime, status.st_mtime)
                    yield StoredPage(files, status.st_size, used)


def removed(files: PageFiles) -> bool:
    """Remove a page unless it is being written, and an empty folder; return True if removed."""
    lock = files.lock()
    try:
        with lock.acquire(timeout=0):
            files.remove()
            # Under the lock; a process waiting for a deleted lock file will notice the deletion.
            Path(lock.lock_file).unlink(missing_ok=True)
    except (OSError, Timeout):
        return False
    with suppress(OSError):  # another process has just removed it, or uses it again
        if {path.name for path in files.folder.iterdir()} <= {DESCRIPTION}:
            (files.folder / DESCRIPTION).unlink(missing_ok=True)
            files.folder.rmdir()
    return True
