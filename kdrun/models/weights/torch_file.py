"""Files of torch.save, read as plain data: the zip format, and the older one."""

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from kdrun.models.weights.described import Global, PickleError
from kdrun.models.weights.inert_pickle import read_pickle
from kdrun.models.weights.stored_tensors import TENSORS, Storage, storage_of

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle of the format before torch 1.6."""

_LOCAL_HEADER = 30  # bytes of a zip entry's header before its name


@dataclass(frozen=True)
class TorchFile:
    """The content of a file of torch.save.

    Attributes:
        content: plain data, with a `StoredTensor` for each dense tensor.
        names: dotted names of the classes and functions in its pickle.
    """

    content: Any
    names: set[str]


def read_zip(path: Path) -> TorchFile:
    """Read the zip format; the values of tensors stay in the file.

    Raises:
        PickleError, BadZipFile, OSError: damaged.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entries = {entry.filename: entry for entry in archive.infolist()}
        root = next(name for name in entries if name.endswith("data.pkl")).removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in entries and _bytes_of(file, entries[order]) != b"little":
            raise PickleError("it was saved on a big-endian machine")

        def storage(key: str, found: Storage) -> Storage:
            entry = entries.get(f"{root}data/{key}")
            if entry is None:
                raise PickleError(f"the values {key} are missing")
            found.place, found.bytes = _place(file, entry), entry.file_size
            return found

        content, names = read_pickle(
            io.BytesIO(_bytes_of(file, entries[f"{root}data.pkl"])), TENSORS, _persistent(storage)
        )
    return TorchFile(content, names)


def _bytes_of(file: IO[bytes], entry: zipfile.ZipInfo) -> bytes:
    """An entry's bytes; checksums are not compared, since torch may be told to write none."""
    file.seek(_place(file, entry))
    return file.read(entry.file_size)


def _place(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """First byte of a zip entry that is not compressed."""
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER)
    if entry.compress_type != zipfile.ZIP_STORED or len(header) < _LOCAL_HEADER:
        raise PickleError("its values are compressed")
    name, extra = struct.unpack("<HH", header[26:30])
    return entry.header_offset + _LOCAL_HEADER + int(name) + int(extra)


def read_legacy(path: Path) -> TorchFile:
    """Read the format before torch 1.6: pickles, then the values of every storage.

    Raises:
        PickleError, OSError: damaged.
    """
    storages: dict[str, list[Storage]] = {}

    def storage(key: str, found: Storage) -> Storage:
        storages.setdefault(key, []).append(found)
        return found

    with path.open("rb") as file:
        _, _, (machine, _) = (read_pickle(file, {}, no_persistent) for _ in range(3))
        if not machine.get("little_endian", True):
            raise PickleError("it was saved on a big-endian machine")
        content, names = read_pickle(file, TENSORS, _persistent(storage))
        keys, _ = read_pickle(file, {}, no_persistent)
        for key in keys:
            _find_values(file, storages[key])
    return TorchFile(content, names)


def is_legacy(path: Path) -> bool:
    """Whether the file starts with the magic number of the older format."""
    with path.open("rb") as file:
        try:
            number, _ = read_pickle(io.BytesIO(file.read(64)), {}, no_persistent)
            return bool(number == LEGACY_MAGIC)
        except PickleError:
            return False


def _find_values(file: IO[bytes], storages: list[Storage]) -> None:
    """Note the place of the values at the file's position, and skip them."""
    (count,) = struct.unpack("<q", file.read(8))
    dtype = storages[0].dtype
    if count < 0 or dtype is None:
        raise PickleError("a storage is quantised: save the float model before quantisation")
    for one in storages:
        one.place = file.tell() + one.start * dtype.itemsize
        one.bytes = (count - one.start) * dtype.itemsize
    file.seek(count * dtype.itemsize, io.SEEK_CUR)


def _persistent(storage: Any) -> Any:
    """The reader of persistent ids: `("storage", type, key, device, size, ...)`."""

    def read(found: Any) -> Any:
        if isinstance(found, tuple) and len(found) >= 5 and _text(found[0]) == "storage":
            made = storage_of(found[1], found[4])
            if len(found) > 5 and found[5] is not None:  # a part of a storage, before torch 0.4
                made.start = found[5][1]
            return storage(_text(found[2]), made)
        if isinstance(found, tuple) and len(found) > 1 and _text(found[0]) == "module":
            return found[1] if isinstance(found[1], Global) else None  # class of a whole module
        raise PickleError("its pickle refers to something that is not a storage")

    return read


def no_persistent(_: Any) -> Any:
    """Refuse a pickle's reference to something outside the pickle."""
    raise PickleError("its pickle refers to something that is not in it")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def mapped(path: Path) -> Tensor:
    """The file's bytes, memory-mapped; changes stay private."""
    return torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
