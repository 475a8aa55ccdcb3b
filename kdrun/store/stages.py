"""The content-addressed store of finished stages."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kdrun.errors import DamagedError, MisplacedError, OutputError
from kdrun.store.files import (
    cannot_write,
    check_files,
    file_entry,
    read_json,
    write_atomic,
    write_sealed,
)
from kdrun.store.folders import LOCK, folder_lock, make_folder, refuse_links_to
from kdrun.store.formats import STAGE, STAGE_SUMMARY
from kdrun.store.shapes import check_shape, read_shaped
from kdrun.store.stage_figures import stage_faults

STORE, CHECKPOINTS = "store", "checkpoints"
MARKER = ".kdrun"
"""The file in a store that says whose it is."""

LEVELS = 6
"""How far below its output root a run is at most, as of a sweep's job."""

_HASH = re.compile(r"[0-9a-f]{16}")
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
    store = make_folder(output_root / STORE, output_root)
    if not (store / MARKER).exists():
        write_atomic(store / MARKER, b"Finished stages of kdrun, by the hash of what they are.\n")


def is_store(folder: Path) -> bool:
    """Whether the folder is a store of kdrun's, by its marker or its stages.

    An earlier kdrun made stores without a marker.
    """
    if not folder.is_dir():
        return False
    if (folder / MARKER).is_file():
        return True
    stages = (path for path in folder.iterdir() if _HASH.fullmatch(path.name))
    parts = (LOCK, IDENTITY, CHECKPOINTS)
    return any((path / part).exists() for path in stages for part in parts)


def root_with_store(folder: Path) -> Path | None:
    """The nearest of the folders above, not far, that holds a store; links are followed.

    Raises:
        OutputError: a folder cannot be looked into.
    """
    parents = folder.resolve().parents[:LEVELS]
    try:
        return next((parent for parent in parents if is_store(parent / STORE)), None)
    except OSError as error:
        raise OutputError(f"cannot read {error.filename}: {error.strerror}") from error


def finish(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Write the stage's summary, with the checksums of its files; its presence means done."""
    names = [name for name in (WEIGHTS, METRICS, IDENTITY) if (folder / name).exists()]
    summary = summary | {"files": {name: file_entry(folder / name) for name in names}}
    write_sealed(folder / SUMMARY, summary)
    return summary


def finished(folder: Path, digest: str) -> dict[str, Any] | None:
    """The summary of the finished stage of this hash, or None; every file of it is verified.

    Raises:
        DamagedError: one is not as it was written, contradicts itself, or is of another stage.
        OutputError: the folder is a link.
    """
    refuse_links_to(folder, folder.parent.parent)
    if not (folder / SUMMARY).exists():
        return None
    summary = read_shaped(folder / SUMMARY, STAGE_SUMMARY)
    for name in (WEIGHTS, IDENTITY):
        if name not in summary["files"]:
            raise DamagedError(f"{folder / SUMMARY} is damaged: it does not list {name}")
    if fault := next(stage_faults(summary), None):
        raise DamagedError(f"{folder / SUMMARY} is damaged: {fault}")
    check_files(folder, summary["files"])
    check_digest(folder, summary.get("hash", digest), digest)
    check_digest(folder, stage_hash(read_identity(folder)), digest)
    return summary


def check_digest(folder: Path, found: str, digest: str) -> None:
    """See that a stage is the one that was asked for.

    Raises:
        MisplacedError: it is not.
    """
    if found != digest:
        raise MisplacedError(f"{folder} is damaged: it holds the stage {found}, not {digest}")


def read_identity(folder: Path) -> dict[str, Any]:
    """All that determines the stage, which its folder is named after.

    Raises:
        DamagedError: it cannot be read.
    """
    content = read_json(folder / IDENTITY)
    check_shape(folder / IDENTITY, content, STAGE)
    identity: dict[str, Any] = content
    return identity


def own_digest(folder: Path) -> str:
    """The hash of a stage wherever it is: in a store its folder's name, else its identity's.

    Raises:
        DamagedError: its identity cannot be read.
    """
    return folder.name if folder.parent.name == STORE else stage_hash(read_identity(folder))


def set_aside(folder: Path, checkpoints: bool = False) -> Path:
    """Move a damaged stage's files to a folder inside its own, so that it can be done again.

    The summary goes last: a process that is killed before leaves the stage to be set aside again.

    Args:
        folder: the stage's.
        checkpoints: whether they go too, as where they are another stage's.
    """
    aside = folder / datetime.now().strftime("damaged-%Y-%m-%d_%H-%M-%S-%f")
    try:
        aside.mkdir()
        for name in (*[CHECKPOINTS] * checkpoints, WEIGHTS, METRICS, IDENTITY, SUMMARY):
            if os.path.lexists(folder / name):
                (folder / name).rename(aside / name)
    except OSError as error:
        raise cannot_write(aside, error) from error
    return aside


def _lock_of(folder: Path) -> FileLock:
    """The lock of a stage's folder, which is made; neither it nor the store may be a link."""
    return folder_lock(make_folder(folder, folder.parent.parent))


def lock_if_free(folder: Path) -> FileLock | None:
    """The folder's lock, held; None where another process holds it."""
    lock = _lock_of(folder)
    try:
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
    lock = _lock_of(folder)
    try:
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
