"""Reader of IDX files (the format of MNIST), plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from kdrun.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UINT8 = 8  # type code of the values in the format


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read a uint8 array of `ndim` dimensions.

    Raises:
        DataError: the file cannot be read, is damaged or has other content; names the file.
    """
    content = _content(path)
    header = 4 + 4 * ndim
    magic = bytes([0, 0, UINT8, ndim])
    if content[:4] != magic:
        start = content[:4].hex() or "nothing"
        raise _unusable(path, f"starts with {start}, not with {magic.hex()} like IDX files")
    if len(content) < header:
        raise _unusable(path, f"is cut off in its header, after {len(content)} bytes")
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], dtype=">u4"))
    found, expected = len(content) - header, math.prod(shape)
    if found != expected:
        promised = " x ".join(map(str, shape))
        raise _unusable(path, f"holds {found} values, not the {promised} of its header")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape).copy()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:
        raise _unusable(path, f"cannot be read ({error})") from error


def _unusable(path: Path, fault: str) -> DataError:
    return DataError(
        f"{path}: {fault}; delete the file and set dataset.download=true, or download it by hand"
    )
