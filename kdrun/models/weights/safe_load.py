"""Safe reading of untrusted checkpoints: no code is executed, sizes are checked."""

import hashlib
import os
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kdrun.errors import WeightsError, near_miss
from kdrun.models.weights.described import Described
from kdrun.models.weights.inert_pickle import read_pickle
from kdrun.models.weights.other_formats import STATE_DICT, other_format
from kdrun.models.weights.stored_tensors import StoredTensor
from kdrun.models.weights.torch_file import (
    TorchFile,
    is_legacy,
    mapped,
    no_persistent,
    read_legacy,
    read_zip,
)

# Names that only a file with code has. They are never called; the file is refused so that its user
# learns of them, because other programs would call them.
_RUNS = re.compile(
    r"(os|posix|nt|sys|subprocess|pty|shutil|runpy|importlib|socket|ctypes|codeop|marshal|pickle|"
    r"_pickle|webbrowser|timeit|pdb|bdb|cProfile|urllib\.request|http\.client|torch\.hub|"
    r"torch\.utils\.cpp_extension)\.|types\.(FunctionType|CodeType)$|_?io\.(open\w*|FileIO)$|"
    r"builtins\.(eval|exec|compile|open|__import__|breakpoint|input|globals|setattr|delattr)$|"
    r"torch\.(serialization\.|jit\.)?load$|numpy\.load$"
)


@dataclass(frozen=True)
class WeightsFile:
    """The content of a weights file, as plain data.

    Attributes:
        path: of the file.
        content: with a Tensor, `StoredTensor` or `OddTensor` for each tensor.
    """

    path: Path
    content: Any

    @cached_property
    def _mapped(self) -> Tensor:
        return mapped(self.path)

    def tensor(self, value: Tensor | StoredTensor) -> Tensor:
        """The values of a tensor of the content.

        Raises:
            PickleError: they reach beyond the file.
        """
        return value if isinstance(value, Tensor) else value.read(self._mapped)


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    with _existing(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights_file(path: Path) -> WeightsFile:
    """Read a safetensors or torch file as plain data; the values of tensors stay in the file.

    Raises:
        WeightsError: a file that is missing, of another format, damaged, or with code.
    """
    size = _existing(path).stat().st_size
    where = f"{path.absolute()} ({size} bytes)"
    try:
        if (other := other_format(path)) is not None:
            raise WeightsError(f"{where} is {other.name}: {other.instead}")
        if _is_safetensors(path):
            return WeightsFile(path, load_file(path))
        file = _read_torch(path)
    except WeightsError:
        raise
    # Damaged files raise almost anything: EOFError, KeyError, OSError, ...
    except Exception as error:
        raise WeightsError(
            f"not a readable checkpoint: {where}: {_reason(error)}; it may be damaged or cut off: "
            "fetch or save it again"
        ) from error
    _refuse_code(file, where)
    return WeightsFile(path, file.content)


def _refuse_code(file: TorchFile, where: str) -> None:
    """Refuse a file with the names of functions that run code, or only a whole module."""
    runs = min(filter(_RUNS.match, file.names), default=None)
    if runs is not None:
        raise WeightsError(
            f"{where} asks to run {runs}, and kdrun does not execute code from checkpoints: "
            f"re-save it as a plain state dict or as safetensors, where it is trusted"
        )
    if _is_module(file.content):
        raise WeightsError(whole_module(where, file.content.of.path))


def whole_module(where: str, name: str) -> str:
    """The message that refuses a pickled module."""
    return (
        f"{where} asks to run {name}, a whole pickled model, and kdrun does not execute code from "
        "checkpoints: re-save it as a plain state dict, torch.save(model.state_dict(), path), "
        "where its code is"
    )


def _is_module(content: Any) -> bool:
    """Whether the description is of a torch.nn.Module."""
    state = content.state if isinstance(content, Described) else None
    return isinstance(state, dict) and "_parameters" in state and "_modules" in state


def module_in(content: Any) -> str | None:
    """Class of a whole module among the values of a mapping."""
    values = content.values() if isinstance(content, dict) else ()
    return next((value.of.path for value in values if _is_module(value)), None)


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


def _read_torch(path: Path) -> TorchFile:
    if path.stat().st_size == 0:
        raise EOFError("the file is empty")
    if zipfile.is_zipfile(path):
        check_unpacked_size(path)
        return read_zip(path)
    if is_legacy(path):
        return read_legacy(path)
    with path.open("rb") as file:
        start = file.read(2)
        if start == b"PK":
            raise EOFError("the end of the zip file is missing")
        if start[:1] != b"\x80":
            raise ValueError("not in torch's or the safetensors format")
        file.seek(0)
        read_pickle(file, {}, no_persistent)
    raise WeightsError(
        f"{path.absolute()} ({path.stat().st_size} bytes) is a plain pickle, not a file of "
        f"torch.save: give {STATE_DICT}"
    )


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
    if isinstance(error, OSError):
        return error.strerror or str(error)
    useful = (RuntimeError, ValueError, EOFError, SafetensorError, zipfile.BadZipFile)
    if isinstance(error, useful) and str(error):
        return str(error).splitlines()[0].split(". ")[0]
    return "not in torch's or the safetensors format"
