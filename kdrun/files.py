"""Files that are either whole or absent: written aside, synced, renamed."""

import json
import math
import os
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdrun.errors import OutputError


def write_atomic(path: Path, content: bytes) -> None:
    """Replace the file at once: a reader or a crash sees the old content or the new, never half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder durable."""
    if os.name != "posix":  # Windows neither needs this nor lets a folder be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON (no NaN) atomically."""
    write_atomic(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def write_yaml(path: Path, data: Any) -> None:
    """Write YAML atomically."""
    write_atomic(path, OmegaConf.to_yaml(data).encode())


def json_number(value: float) -> float | str:
    """The value, or as a word where JSON has no number for it (T = inf)."""
    return value if math.isfinite(value) else str(value)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OutputError: it is damaged.
    """
    try:
        return json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise OutputError(f"{path} is damaged ({error}); remove its folder and repeat") from error


def write_json_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Replace a JSONL file atomically."""
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    write_atomic(path, text.encode())


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file; one that is not there has no lines."""
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    except (ValueError, OSError) as error:
        raise OutputError(f"{path} is damaged ({error}); remove its folder and repeat") from error


def append_text(path: Path, text: str) -> None:
    """Append to a text file."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The line for a file that cannot be written."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OutputError(f"cannot write {path}: {reason}")


def append_json_line(path: Path, line: dict[str, Any]) -> None:
    """Append one line to a JSONL file."""
    append_text(path, json.dumps(line, allow_nan=False) + "\n")
