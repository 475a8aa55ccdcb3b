"""The content-addressed store of finished stages."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kdrun.store.files import cannot_write, check_files, file_entry, read_sealed, write_sealed

STORE, CHECKPOINTS = "store", "checkpoints"
SUMMARY, WEIGHTS, METRICS, IDENTITY = (
    *("summary.json", "best.safetensors", "metrics.jsonl", "stage.json"),
)


def stage_hash(identity: dict[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of the identity in canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stage_folder(output_root: Path, digest: str) -> Path:
    """Where the stage of this hash lives."""
    return output_root / STORE / digest


def make_store(output_root: Path) -> None:
    """Create the store; by it a run that goes on finds its output root.

    Raises:
        OutputError: it cannot be written.
    """
    folder = output_root / STORE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def finish(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Write the stage's summary, with the checksums of its files; its presence means done."""
    names = [name for name in (WEIGHTS, METRICS, IDENTITY) if (folder / name).exists()]
    summary = summary | {"files": {name: file_entry(folder / name) for name in names}}
    write_sealed(folder / SUMMARY, summary)
    return summary


def finished(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished stage, or None; every file of it is verified.

    Raises:
        DamagedError: one is not as it was written.
    """
    if not (folder / SUMMARY).exists():
        return None
    summary = read_sealed(folder / SUMMARY)
    check_files(folder, summary.get("files"))
    return summary


def set_aside(folder: Path) -> Path:
    """Move a damaged stage's files to a folder inside its own, so that it can be done again."""
    aside = folder / datetime.now().strftime("damaged-%Y-%m-%d_%H-%M-%S-%f")
    try:
        aside.mkdir()
        for name in (SUMMARY, WEIGHTS, METRICS, IDENTITY):
            if (folder / name).exists():
                (folder / name).rename(aside / name)
    except OSError as error:
        raise cannot_write(aside, error) from error
    return aside


def lock_if_free(folder: Path) -> FileLock | None:
    """The folder's lock, held; None where another process holds it."""
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        raise cannot_write(folder, error) from error
    return lock


@contextmanager
def locked(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the folder's lock; `waiting` is called every second while another process holds it.

    The operating system frees the lock of a process that died.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1, poll_interval=0.05)
            except Timeout:
                waiting()
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()
