"""Files that are no checkpoints of PyTorch weights, by their first bytes or zip entries."""

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

_START = 512
"""First bytes that are looked at; a tar archive has its name at 257."""

STATE_DICT = "a state dict (torch.save(model.state_dict(), path)) or a safetensors file"


@dataclass(frozen=True)
class OtherFormat:
    """A format that cannot be used as weights: its name, and what to give instead."""

    name: str
    instead: str


def _converted(name: str) -> OtherFormat:
    return OtherFormat(name, f"convert the weights to PyTorch, and give {STATE_DICT}")


def _packed(name: str, command: str) -> OtherFormat:
    return OtherFormat(name, f"unpack it ({command} FILE) and give the weights file in it")


_WEB_PAGE = OtherFormat(
    "a web page, not a checkpoint", "download the file itself (its raw or direct link)"
)
_TORCHSCRIPT = OtherFormat(
    "a TorchScript model, which is a program",
    "give its state dict: torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)",
)
_EXPORTED = OtherFormat(
    "an exported program (pt2)",
    "give a state dict or safetensors, such as student.safetensors of 'kdrun export'",
)
_ONNX = OtherFormat(
    "an ONNX graph",
    "give a state dict or safetensors, such as student.safetensors of 'kdrun export'",
)
_SHARDS = OtherFormat(
    "a JSON file, such as a config or the index of a checkpoint in several files",
    "give the weights themselves, in one file",
)

# Pattern of the first bytes -> format; the first that matches counts.
_STARTS: tuple[tuple[bytes, OtherFormat], ...] = (
    (rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|head|body)", _WEB_PAGE),
    (
        rb"version https://git-lfs",
        OtherFormat("a Git LFS pointer, not the file itself", "fetch the file: git lfs pull"),
    ),
    (
        rb"(\.\./)*(\.git)?/?annex/objects/",
        OtherFormat("a git-annex pointer, not the file itself", "fetch the file: git annex get"),
    ),
    (rb"\x1f\x8b", _packed("compressed by gzip", "gunzip")),
    (rb"BZh[1-9]", _packed("compressed by bzip2", "bunzip2")),
    (rb"\xfd7zXZ\x00", _packed("compressed by xz", "unxz")),
    (rb"\x28\xb5\x2f\xfd", _packed("compressed by zstd", "unzstd")),
    (rb"7z\xbc\xaf\x27\x1c", _packed("a 7z archive", "7z x")),
    (rb"Rar!\x1a\x07", _packed("a rar archive", "unrar x")),
    (rb".{257}ustar", _packed("a tar archive", "tar -xf")),
    (rb"\x93NUMPY", _converted("a NumPy array")),
    (rb"\x89HDF\r\n\x1a\n", _converted("an HDF5 file, as Keras writes it")),
    (rb".{4}TFL3", _converted("a TensorFlow Lite model")),
    (rb"GGUF", _converted("a GGUF file")),
    (rb"\s*\{\s*[\"}]", _SHARDS),
    (rb"\x08[\x01-\x20](\x12|\x1a|:|B).{0,60}(pytorch|onnx|tf2onnx|skl2onnx)", _ONNX),
)
_TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # of a LevelDB table, TensorFlow's .index

# Pattern of an entry of a zip file -> format.
_ENTRIES: tuple[tuple[str, OtherFormat], ...] = (
    (r"(^|/)constants\.pkl$|/code/__torch__", _TORCHSCRIPT),
    (r"(^|/)archive_format$|serialized_exported_program\.(json|pt)$", _EXPORTED),
    (
        r"/\.data/extern_modules$",
        OtherFormat("a package of torch.package, which is a program", f"give {STATE_DICT}"),
    ),
    (r"(^|/)data\.pkl$", OtherFormat("", "")),  # a file of torch.save
    (r"\.npy$", _converted("an archive of NumPy arrays (npz)")),
    (r"\.weights\.h5$", _converted("a Keras model")),
    (r"^Manifest\.json$", _converted("a Core ML package")),
)

_SUFFIXES = {
    ".onnx": _ONNX,
    ".h5": _converted("a Keras file"),
    ".pb": _converted("a TensorFlow graph"),
    ".msgpack": _converted("a Flax file"),
    ".tflite": _converted("a TensorFlow Lite model"),
    ".pdparams": _converted("a PaddlePaddle file"),
    ".npz": _converted("an archive of NumPy arrays (npz)"),
}
"""Formats without a signature; only for what is neither of torch nor safetensors."""


def other_format(path: Path) -> OtherFormat | None:
    """The file's format, if it is a known one other than torch's and safetensors."""
    with path.open("rb") as file:
        start = file.read(_START)
    if start[8:9] == b"{":  # safetensors
        return None
    for pattern, found in _STARTS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return found
    if zipfile.is_zipfile(path):
        return _of_zip(path)
    if _last_bytes(path, len(_TABLE_END)) == _TABLE_END or ".ckpt.data-" in path.name:
        return _converted("a TensorFlow checkpoint")
    known = start[:1] == b"\x80"
    return None if known else _SUFFIXES.get(path.suffix.lower())


def _of_zip(path: Path) -> OtherFormat | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None  # damaged, which the reader reports
    for pattern, found in _ENTRIES:
        if any(re.search(pattern, name) for name in names):
            return found if found.name else None
    first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return _packed(f"a zip archive ({first or 'empty'})", "unzip")


def _last_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(count, path.stat().st_size), 2)
        return file.read()


# Name in a folder -> what the folder is and what to give.
_IN_FOLDERS: tuple[tuple[str, str], ...] = (
    (
        ".metadata",
        "a distributed checkpoint: join it by python -m torch.distributed.checkpoint.format_utils "
        "dcp_to_torch FOLDER FILE, and give FILE",
    ),
    ("saved_model.pb", f"a TensorFlow model: convert it to PyTorch, and give {STATE_DICT}"),
    ("*.index.json", "a checkpoint in several files: save the weights in one file, and give it"),
)
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")


def describe_folder(folder: Path) -> str:
    """What a folder holds in place of a run, and what to give; empty if unknown."""
    for pattern, words in _IN_FOLDERS:
        if any(folder.glob(pattern)):
            return words
    found = folder.iterdir() if os.access(folder, os.R_OK | os.X_OK) else ()
    files = sorted(path.name for path in found if path.suffix in WEIGHTS_SUFFIXES)
    return f"weights files: give the path of one, such as {folder / files[0]}" if files else ""
