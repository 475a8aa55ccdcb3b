"""Safe reading of untrusted checkpoints: no code is executed, sizes are checked."""

import hashlib
import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from kdrun.errors import WeightsError, near_miss


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    with _existing(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights_file(path: Path) -> Any:
    """Load the content of a safetensors or torch file on the CPU, memory-mapped.

    Raises:
        WeightsError: a file that is missing, not readable as a checkpoint, or unsafe to load.
    """
    where = f"{path.absolute()} ({_existing(path).stat().st_size} bytes)"
    try:
        return load_file(path) if _is_safetensors(path) else _read_torch(path)
    # Damaged files raise almost anything: EOFError, KeyError, OSError, ...
    except Exception as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is not None:
            raise WeightsError(
                f"{where} asks to run {refused[1]}, and kdrun does not execute code from "
                "checkpoints: re-save it as a plain state dict or as safetensors"
            ) from error
        raise WeightsError(
            f"not a readable checkpoint: {where}: {_reason(error)}; it may be damaged or cut off: "
            "fetch or save it again"
        ) from error


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise WeightsError(f"{path.absolute()} is a folder: give the path of a weights file in it")
    if not path.exists():
        siblings = [file.name for file in path.parent.glob("*")]
        hint = near_miss(path.name, siblings) or "; check the path"
        raise WeightsError(f"no weights file at {path.absolute()}{hint}")
    if not os.access(path, os.R_OK):
        raise WeightsError(f"{path.absolute()} may not be read: change its permissions")
    return path


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    # The format is eight bytes of length and a JSON object.
    return path.suffix == ".safetensors" or start[8:] == b"{"


def _read_torch(path: Path) -> Any:
    if path.stat().st_size == 0:
        raise EOFError("the file is empty")
    is_zip = zipfile.is_zipfile(path)  # else the format of torch before 1.6, without memory mapping
    if is_zip:
        check_unpacked_size(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unknown pickle protocols: an error follows anyway
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)


def check_unpacked_size(path: Path) -> None:
    """Refuse a zip file that unpacks to more than its own size.

    Raises:
        ValueError: the unpacked size is larger.
    """
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:  # torch does not compress, so this is a zip bomb
        raise ValueError(f"it would unpack to {unpacked} bytes")


def _reason(error: Exception) -> str:
    """A short reason for the user; generic for exceptions without a useful message."""
    # An UnpicklingError recommends unsafe loading; a KeyError or IndexError says nothing.
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, RuntimeError | ValueError | EOFError | SafetensorError) and str(error):
        return str(error).splitlines()[0].split(". ")[0]
    return "not in torch's or the safetensors format"
