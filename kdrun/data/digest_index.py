"""Index of file digests by path and stamp, kept between runs so that each file is read once.

The index is stored in the user's own cache folder, `$KDRUN_CACHE` or `~/.cache/kdrun`, not below an
output root, as that may be untrusted: a forged entry would pass one image off as another. An entry
is valid while the file has the same size, modification time, change time and inode as when it was
hashed. This assumes a file system that records every change in one of them.
"""

import hashlib
import os
import stat
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from kdrun.errors import OutputError, first_line
from kdrun.store.files import write_atomic
from kdrun.store.home import expand_home

RECORD = np.dtype(
    [("path", "<u8"), ("stamp", "<i8", (4,)), ("digest", "u1", (32,)), ("check", "<u8")]
)
SUFFIX = ".image-digests"  # of `ImageDigest`; the former `.digests` ignored the orientation
STALE = 4096  # stale records before the index is rewritten
PATIENCE = 10.0  # seconds to wait for another process writing to the index

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def cache_folder() -> Path:
    """$KDRUN_CACHE, by default ~/.cache/kdrun."""
    return expand_home(os.environ.get("KDRUN_CACHE") or "~/.cache/kdrun", "KDRUN_CACHE=FOLDER")


class DigestIndex:
    """Digests of the files below one root; damaged records are ignored.

    Args:
        root: of the paths.
        folder: of the indices of all roots.
    """

    def __init__(self, root: str, folder: Path | None = None) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
        self.path = (folder or cache_folder() / "index") / f"{name}{SUFFIX}"
        self._records = np.zeros(0, RECORD)

    def load(self) -> str | None:
        """Read the index; return the reason if it cannot be used, else None."""
        try:
            content = _own_bytes(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return first_line(error)
        whole = content[: len(content) - len(content) % RECORD.itemsize]
        found = np.frombuffer(whole, RECORD)
        valid = found[found["check"] == checks(found)]
        # The last record of a path counts.
        _, last = np.unique(valid["path"][::-1], return_index=True)
        self._records = valid[len(valid) - 1 - last]
        stale = len(found) - len(self._records)
        return self._rewrite() if stale > STALE + len(self._records) else None

    def find(self, paths: np.ndarray, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) positions of the files unchanged since they were hashed, and (N, 32) digests."""
        if not len(self._records):
            return np.zeros(0, np.int64), np.zeros((0, 32), np.uint8)
        keys = path_keys(paths)
        near = np.searchsorted(self._records["path"], keys).clip(max=len(self._records) - 1)
        records = self._records[near]
        known = (records["path"] == keys) & (records["stamp"] == stamps).all(1)
        return np.flatnonzero(known), records["digest"][known]

    def append(self, paths: np.ndarray, stamps: np.ndarray, digests: np.ndarray) -> str | None:
        """Append records; return the reason if they cannot be written, else None."""
        records = np.zeros(len(paths), RECORD)
        records["path"], records["stamp"] = path_keys(paths), stamps
        records["digest"] = digests
        records["check"] = checks(records)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=PATIENCE):
                _append(self.path, records.tobytes())
        except (OSError, Timeout) as error:
            return first_line(error)
        return None

    def _rewrite(self) -> str | None:
        try:
            with FileLock(f"{self.path}.lock", timeout=PATIENCE):
                write_atomic(self.path, self._records.tobytes())
        except (OSError, Timeout, OutputError) as error:
            return first_line(error)
        return None


def path_keys(paths: np.ndarray) -> np.ndarray:
    """(N,) uint64 hashes of the paths; stamps distinguish files with equal hashes."""
    joined = b"".join(hashlib.blake2b(path, digest_size=8).digest() for path in paths.tolist())
    return np.frombuffer(joined, "<u8")


def checks(records: np.ndarray) -> np.ndarray:
    """(N,) uint64 checksums of the records, to detect damage."""
    words = np.frombuffer(records.tobytes(), "<u8").reshape(len(records), -1)[:, :-1]
    mixed = np.full(len(records), 0x9E3779B97F4A7C15, np.uint64)
    for column in words.T:
        mixed = (mixed ^ column) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _own_bytes(path: Path) -> bytes:
    """The content of a regular file owned by this user; links are not followed."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _NO_LINK)
    with os.fdopen(descriptor, "rb") as file:
        _check_own(path, os.fstat(file.fileno()))
        return file.read()


def _check_own(path: Path, status: os.stat_result) -> None:
    own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    if not own or not stat.S_ISREG(status.st_mode):
        raise PermissionError(f"{path} is not a file of this user")


def _append(path: Path, content: bytes) -> None:
    """Append after the last complete record: a full disk may have truncated one."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | _NO_LINK
    with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
        _check_own(path, os.fstat(file.fileno()))
        end = file.seek(0, os.SEEK_END)
        file.truncate(end - end % RECORD.itemsize)
        file.seek(0, os.SEEK_END)
        file.write(content)
