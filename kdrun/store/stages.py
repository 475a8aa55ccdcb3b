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
from kdrun.store.formats import EPOCH, STAGE, STAGE_SUMMARY
from kdrun.store.shapes import check_shape, read_shaped, read_shaped_lines
from kdrun.store.stage_figures import stage_faults

STORE, CHECKPOINTS = "store", "checkpoints"
MARKER = ".kdrun"
"""Marker file of a store."""

LEVELS = 6
"""Maximum depth of a run below its output root, reached by the jobs of a sweep."""

_HASH = re.compile(r"[0-9a-f]{16}")
SUMMARY, IDENTITY = "summary.json", "stage.json"
WEIGHTS, METRICS = "best.safetensors", "metrics.jsonl"


def stage_hash(identity: dict[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of the identity in canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stage_folder(output_root: Path, digest: str) -> Path:
    """Folder of the stage with this hash."""
    return output_root / STORE / digest


def make_store(output_root: Path) -> None:
    """Create the store; a resumed run finds its output root by this folder.

    Raises:
        OutputError: the store cannot be written.
    """
    store = make_folder(output_root / STORE, output_root)
    if not (store / MARKER).exists():
        write_atomic(store / MARKER, b"Finished stages of kdrun, by the hash of what they are.\n")


def is_store(folder: Path) -> bool:
    """Whether the folder is a kdrun store, by its marker or its stages.

    Earlier versions made stores without a marker.
    """
    if not folder.is_dir():
        return False
    if (folder / MARKER).is_file():
        return True
    stages = (path for path in folder.iterdir() if _HASH.fullmatch(path.name))
    parts = (LOCK, IDENTITY, CHECKPOINTS)
    return any((path / part).exists() for path in stages for part in parts)


def root_with_store(folder: Path) -> Path | None:
    """The nearest parent folder with a store, within the maximum depth; links are followed.

    Raises:
        OutputError: a folder cannot be read.
    """
    parents = folder.resolve().parents[:LEVELS]
    try:
        return next((parent for parent in parents if is_store(parent / STORE)), None)
    except OSError as error:
        raise OutputError(f"cannot read {error.filename}: {error.strerror}") from error


def finish(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Write the stage's summary with the checksums of its files, marking the stage as finished."""
    names = [name for name in (WEIGHTS, METRICS, IDENTITY) if (folder / name).exists()]
    summary = summary | {"files": {name: file_entry(folder / name) for name in names}}
    write_sealed(folder / SUMMARY, summary)
    return summary


def finished(folder: Path, digest: str) -> dict[str, Any] | None:
    """The summary of the finished stage with this hash, or None; verifies every file.

    Raises:
        DamagedError: a file is damaged, inconsistent, or belongs to another stage.
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
    if METRICS in summary["files"]:
        read_shaped_lines(folder / METRICS, EPOCH)
    check_digest(folder, summary.get("hash", digest), digest)
    check_digest(folder, stage_hash(read_identity(folder)), digest)
    return summary


def check_digest(folder: Path, found: str, digest: str) -> None:
    """Check that a stage has the expected hash.

    Raises:
        MisplacedError: the hash differs.
    """
    if found != digest:
        raise MisplacedError(f"{folder} is damaged: it holds the stage {found}, not {digest}")


def read_identity(folder: Path) -> dict[str, Any]:
    """Read the stage's identity: everything that determines its result and its folder's name.

    Raises:
        DamagedError: the identity cannot be read.
    """
    content = read_json(folder / IDENTITY)
    check_shape(folder / IDENTITY, content, STAGE)
    identity: dict[str, Any] = content
    return identity


def own_digest(folder: Path) -> str:
    """The hash of a stage anywhere: in a store the folder's name, else the hash of its identity.

    Raises:
        DamagedError: the identity cannot be read.
    """
    return folder.name if folder.parent.name == STORE else stage_hash(read_identity(folder))


def set_aside(folder: Path, checkpoints: bool = False) -> Path:
    """Move a damaged stage's files to a subfolder, so that the stage can be trained again.

    The summary is moved last: if the process is killed earlier, the stage is set aside again.

    Args:
        folder: of the stage.
        checkpoints: whether to move them too, for instance if they belong to another stage.
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
    """The lock of a stage's folder, created if missing; folder and store must not be links."""
    return folder_lock(make_folder(folder, folder.parent.parent))


def lock_if_free(folder: Path) -> FileLock | None:
    """Acquire the folder's lock; None if another process holds it."""
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

    The operating system frees the lock of a dead process.
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
