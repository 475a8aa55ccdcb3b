"""Atomic file writes (temporary file, sync, rename), and JSON sealed by a checksum."""

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from kdrun.errors import DamagedError, OutputError, reason
from kdrun.store.plain_yaml import load_plain
from kdrun.store.regular_files import open_regular, read_regular, refuse_other_names
from kdrun.store.strict_json import loads

SEAL = "sha256"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def write_atomic(path: Path, content: bytes) -> None:
    """Replace the file atomically: readers and crashes see the old or the new content, never half.

    Raises:
        OutputError: the file cannot be written; the old content stays.
    """
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:  # exclusive, so that links are not followed
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # fails too on a read-only file system
            temporary.unlink(missing_ok=True)
        raise cannot_write(path, error, len(content)) from error


def temporary_path(path: Path) -> Path:
    """An unpredictable name in the same folder, matched by `remove_leftovers`."""
    return path.with_name(f".tmp-{secrets.token_hex(8)}-{path.name}")


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder durable."""
    if os.name != "posix":  # Windows does not need this, and cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError, needed: int | None = None) -> OutputError:
    """The error for a file that cannot be written; for a full disk with the space needed."""
    cause = os.strerror(error.errno) if error.errno else reason(error)
    if error.errno in _NO_ROOM:
        cause += _room(path.parent, needed)
    return OutputError(f"cannot write {path}: {cause}")


def cannot_remove(path: Path, error: OSError) -> OutputError:
    """The error for a file that cannot be removed."""
    cause = os.strerror(error.errno) if error.errno else reason(error)
    return OutputError(f"cannot remove {path}: {cause}")


def _room(folder: Path, needed: int | None) -> str:
    """A note on the shortage of a full disk: inodes or bytes."""
    existing = _existing(folder)
    if hasattr(os, "statvfs"):
        status = os.statvfs(existing)
        if status.f_files > 0 and status.f_favail == 0:
            return " (no inodes are free: remove files or folders, however small)"
    return "" if needed is None else f" ({needed:,} bytes needed, {free_bytes(folder):,} free)"


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder, which may not exist yet."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """The folder, or its nearest existing parent."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON (no NaN) atomically."""
    write_atomic(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON object atomically, with the checksum of its content as a field."""
    write_json(path, data | {SEAL: _checksum(data)})


def _checksum(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_yaml(path: Path, data: Any) -> None:
    """Write YAML atomically."""
    write_atomic(path, OmegaConf.to_yaml(data).encode())


def json_number(value: float) -> float | str:
    """The value, or its name if JSON has no such number (T = inf)."""
    return value if math.isfinite(value) else str(value)


def strict(value: Any) -> Any:
    """Convert to plain JSON data: tuples to lists, non-finite numbers to their names."""
    if isinstance(value, Mapping):
        return {str(key): strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [strict(one) for one in value]
    return json_number(value) if isinstance(value, float) else value


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DamagedError: the file is not JSON, or cannot be read.
    """
    try:
        return loads(read_regular(path))
    except (ValueError, OSError, RecursionError) as error:
        raise damaged(path, error) from error


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a file written by `write_sealed`.

    Raises:
        DamagedError: the content does not match its checksum.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.pop(SEAL, None) != _checksum(data):
        raise DamagedError(f"{path} is damaged: its checksum differs")
    return data


def read_yaml(path: Path) -> Any:
    """Read YAML as plain data, within the bounds of `load_plain`.

    Raises:
        DamagedError: the file is not YAML, is too large, has aliases, or cannot be read.
    """
    try:
        return load_plain(read_regular(path))
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        raise damaged(path, error) from error


def write_json_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Replace a JSONL file atomically."""
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    write_atomic(path, text.encode())


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file; a missing file has no lines.

    Raises:
        DamagedError: a line is not a JSON object.
    """
    try:
        lines = [loads(line) for line in read_regular(path).splitlines()]
    except FileNotFoundError:
        return []
    except (ValueError, OSError, RecursionError) as error:
        raise damaged(path, error) from error
    if not all(isinstance(line, dict) for line in lines):
        raise DamagedError(f"{path} is damaged: a line is not a JSON object")
    return lines


def damaged(path: Path, error: Exception) -> DamagedError:
    """The error for a file with unreadable content."""
    cause = error.strerror if isinstance(error, OSError) else None
    return DamagedError(f"{path} is damaged: {cause or reason(error)}")


def append_text(path: Path, text: str) -> None:
    """Append to a text file; links are not followed.

    Raises:
        OutputError: the file cannot be written, or is a hard link to another file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe without a reader
    content = text.encode(errors="replace")
    try:
        with open(os.open(path, flags, 0o666), "ab", buffering=0) as file:
            refuse_other_names(path, os.fstat(file.fileno()))
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error, len(content)) from error


def append_json_line(path: Path, line: dict[str, Any]) -> None:
    """Append one line to a JSONL file."""
    append_text(path, json.dumps(line, allow_nan=False) + "\n")


def file_entry(path: Path) -> dict[str, Any]:
    """A file's entry in summaries and manifests: size and SHA-256.

    Raises:
        DamagedError: the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}
    except OSError as error:
        raise damaged(path, error) from error


def check_files(folder: Path, entries: Any) -> None:
    """Check that files match their entries, made by `file_entry`, by name.

    Raises:
        DamagedError: a file is missing or differs, or the entries are invalid.
    """
    if not isinstance(entries, dict) or not all(Path(name).name == name for name in entries):
        raise DamagedError(f"{folder} is damaged: it has no list of files")
    for name, entry in entries.items():
        if file_entry(folder / name) != entry:
            raise DamagedError(f"{folder / name} is damaged: its checksum differs")
