"""Files that are either whole or absent: written aside, synced, renamed; sealed by a checksum."""

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
    """Replace the file at once: a reader or a crash sees the old content or the new, never half.

    Raises:
        OutputError: it cannot be written; the old content stays.
    """
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:  # exclusive, so that no link is followed
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # a file system that is read-only refuses this too
            temporary.unlink(missing_ok=True)
        raise cannot_write(path, error, len(content)) from error


def temporary_path(path: Path) -> Path:
    """A name in the same folder that nobody can foresee; `remove_leftovers` knows it."""
    return path.with_name(f".tmp-{secrets.token_hex(8)}-{path.name}")


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder durable."""
    if os.name != "posix":  # Windows neither needs this nor lets a folder be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError, needed: int | None = None) -> OutputError:
    """The line for a file that cannot be written; of a full disk also how much is missing."""
    told = os.strerror(error.errno) if error.errno else reason(error)
    if error.errno in _NO_ROOM:
        told += _room(path.parent, needed)
    return OutputError(f"cannot write {path}: {told}")


def cannot_remove(path: Path, error: OSError) -> OutputError:
    """The line for a file that cannot be removed."""
    told = os.strerror(error.errno) if error.errno else reason(error)
    return OutputError(f"cannot remove {path}: {told}")


def _room(folder: Path, needed: int | None) -> str:
    """What a full disk lacks: inodes or bytes."""
    existing = _existing(folder)
    if hasattr(os, "statvfs"):
        status = os.statvfs(existing)
        if status.f_files > 0 and status.f_favail == 0:
            return " (no inodes are free: remove files or folders, however small)"
    return "" if needed is None else f" ({needed:,} bytes needed, {free_bytes(folder):,} free)"


def free_bytes(folder: Path) -> int:
    """Free space where the folder is, or will be."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON (no NaN) atomically."""
    write_atomic(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def write_sealed(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON object atomically, with the checksum of its content in it."""
    write_json(path, data | {SEAL: _checksum(data)})


def _checksum(data: dict[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_yaml(path: Path, data: Any) -> None:
    """Write YAML atomically."""
    write_atomic(path, OmegaConf.to_yaml(data).encode())


def json_number(value: float) -> float | str:
    """The value, or as a word where JSON has no number for it (T = inf)."""
    return value if math.isfinite(value) else str(value)


def strict(value: Any) -> Any:
    """Plain JSON data: tuples as lists, and numbers that JSON lacks as words."""
    if isinstance(value, Mapping):
        return {str(key): strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [strict(one) for one in value]
    return json_number(value) if isinstance(value, float) else value


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DamagedError: it is not JSON, or cannot be read.
    """
    try:
        return loads(read_regular(path))
    except (ValueError, OSError, RecursionError) as error:
        raise damaged(path, error) from error


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote.

    Raises:
        DamagedError: a bit of it is not as it was written.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.pop(SEAL, None) != _checksum(data):
        raise DamagedError(f"{path} is damaged: its checksum differs")
    return data


def read_yaml(path: Path) -> Any:
    """Read YAML as plain data, as `load_plain` bounds it.

    Raises:
        DamagedError: it is not YAML, is too large or has aliases, or cannot be read.
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
    """Read a JSONL file; one that is not there has no lines.

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
    """The line for a file that cannot be read as what it was written."""
    told = error.strerror if isinstance(error, OSError) else None
    return DamagedError(f"{path} is damaged: {told or reason(error)}")


def append_text(path: Path, text: str) -> None:
    """Append to a text file of our own, never to where a link points.

    Raises:
        OutputError: it cannot be written, or has another name, as a hard link to a file elsewhere.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody reads
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
    """A file's size and SHA-256, as summaries and manifests list it.

    Raises:
        DamagedError: it cannot be read.
    """
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}
    except OSError as error:
        raise damaged(path, error) from error


def check_files(folder: Path, entries: Any) -> None:
    """Compare files with their entries of `file_entry`, by name.

    Raises:
        DamagedError: one is missing or differs, or the entries are none.
    """
    if not isinstance(entries, dict) or not all(Path(name).name == name for name in entries):
        raise DamagedError(f"{folder} is damaged: it does not say which files it has")
    for name, entry in entries.items():
        if file_entry(folder / name) != entry:
            raise DamagedError(f"{folder / name} is damaged: its checksum differs")
