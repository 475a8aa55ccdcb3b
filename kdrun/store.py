"""The content-addressed store of finished stages."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kdrun.files import cannot_write, read_json

SUMMARY = "summary.json"


def stage_hash(identity: dict[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of the identity in canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stage_folder(output_root: Path, digest: str) -> Path:
    """Where the stage of this hash lives."""
    return output_root / "store" / digest


def finished(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished stage, or None. It is written last, so its presence means done."""
    path = folder / SUMMARY
    return read_json(path) if path.is_file() else None


@contextmanager
def locked(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the stage's lock; `waiting` is called every second while another process holds it.

    The operating system frees the lock of a process that died.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                waiting()
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()
