"""Files of a page: the records, and a seal with the number of valid ones."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from kdrun.errors import DamagedError
from kdrun.store.files import damaged, write_sealed
from kdrun.store.formats import PAGE
from kdrun.store.regular_files import open_regular
from kdrun.store.shapes import read_shaped
from kdrun.teachers.cache.encoding import Encoding

FORMAT = 1
ROWS = ".rows"


@dataclass(frozen=True)
class Layout:
    """Common layout of the pages of a cache.

    Attributes:
        key: the cache's hash.
        images: number of images in the split, the bound of indices.
        rows: of a complete page, at most `images`.
        encoding: of a row.
    """

    key: str
    images: int
    rows: int
    encoding: Encoding

    @cached_property
    def record(self) -> np.dtype:
        """Type of a record: image index and row. Aligned: torch requires it of column strides."""
        return np.dtype([("index", "<i4"), *self.encoding.fields], align=True)

    @property
    def page_bytes(self) -> int:
        """Size of a complete page."""
        return self.rows * self.record.itemsize


@dataclass(frozen=True)
class PageFiles:
    """Paths of the page of a view."""

    folder: Path
    view: int

    @property
    def rows(self) -> Path:
        """File of the records."""
        return self.folder / f"{self.view:05d}{ROWS}"

    @property
    def seal(self) -> Path:
        """File of the seal."""
        return self.folder / f"{self.view:05d}.json"

    def lock(self) -> FileLock:
        """Lock for writing or removing the page; never waited for."""
        return FileLock(self.folder / f".{self.view:05d}.lock")

    def remove_leftovers(self) -> None:
        """Remove temporary files of processes killed while writing the seal."""
        for path in self.folder.glob(f".tmp-*-{self.seal.name}"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the page, the seal first; readers with the page mapped can go on."""
        self.seal.unlink(missing_ok=True)
        self.rows.unlink(missing_ok=True)


@dataclass(frozen=True)
class Distortion:
    """Error of the storage format, over the rows of a page.

    Attributes:
        deviation: largest error of a logit; with top-k, of a stored probability.
        max_tv: largest total variation between the distributions at T=1, in [0, 1].
        mean_tv: mean total variation.
    """

    deviation: float = 0.0
    max_tv: float = 0.0
    mean_tv: float = 0.0


@dataclass(frozen=True)
class Seal:
    """Number of valid records `rows`; `checksum` is the hex SHA-256 of their bytes."""

    rows: int
    checksum: str
    distortion: Distortion


def write_seal(files: PageFiles, layout: Layout, seal: Seal) -> None:
    """Write the seal, making its records valid."""
    write_sealed(files.seal, _header(files, layout) | asdict(seal))


def read_seal(files: PageFiles, layout: Layout) -> Seal | None:
    """Read the page's seal; None if there is none yet.

    Raises:
        DamagedError: the seal is damaged, or belongs to another page.
    """
    if not files.seal.exists():
        return None
    content, header = read_shaped(files.seal, PAGE), _header(files, layout)
    if {name: content.pop(name, None) for name in header} != header:
        raise DamagedError(f"{files.seal} belongs to another page, or to another kdrun")
    distortion = {one.name: content["distortion"][one.name] for one in fields(Distortion)}
    return Seal(content["rows"], content["checksum"], Distortion(**distortion))


def _header(files: PageFiles, layout: Layout) -> dict[str, Any]:
    """Description of the page in its seal, as read back from JSON."""
    record = json.loads(json.dumps(layout.record.descr))
    return {"format": FORMAT, "key": layout.key, "view": files.view, "record": record}


def read_records(files: PageFiles, layout: Layout, seal: Seal, *, verify: bool) -> np.ndarray:
    """The valid records, memory-mapped.

    Raises:
        DamagedError: the records cannot be read, or are damaged.
    """
    try:
        with open_regular(files.rows) as file:
            # Copy-on-write, though never written: torch warns about read-only arrays.
            content = np.memmap(file, np.uint8, mode="c")
    except (OSError, ValueError) as error:
        raise damaged(files.rows, error) from error
    size = seal.rows * layout.record.itemsize
    if not 0 < size <= len(content):
        raise DamagedError(f"{files.rows} is damaged: {len(content):,} bytes, not {size:,}")
    if verify and hashlib.sha256(content[:size].data).hexdigest() != seal.checksum:
        raise DamagedError(f"{files.rows} is damaged: its checksum differs")
    return content[:size].view(layout.record)


def check_page(path: Path) -> None:
    """Check that records, seal and path of a page agree.

    Raises:
        DamagedError: they differ.
    """
    seal = read_shaped(path, PAGE)
    if (seal["key"], f"{seal['view']:05d}.json") != (path.resolve().parent.name, path.name):
        raise DamagedError(f"{path} is damaged: it belongs to another page")
    rows = path.with_suffix(ROWS)
    try:
        record = [(name, kind, *map(tuple, shape)) for name, kind, *shape in seal["record"]]
        with open_regular(rows) as file:
            content = np.memmap(file, np.uint8, mode="r")[
                : seal["rows"] * np.dtype(record).itemsize
            ]
    except (OSError, TypeError, ValueError) as error:
        raise damaged(rows, error) from error
    if hashlib.sha256(content.data).hexdigest() != seal["checksum"]:
        raise DamagedError(f"{rows} is damaged: its checksum differs")


def row_of_image(records: np.ndarray, layout: Layout, path: Path) -> np.ndarray:
    """(images,) int64 record number of each image, or -1.

    Raises:
        DamagedError: a record belongs to no image, or two belong to the same image.
    """
    index = records["index"].astype(np.int64)
    if index.min() < 0 or index.max() >= layout.images:
        raise DamagedError(f"{path} is damaged: a row belongs to no image")
    rows = np.full(layout.images, -1)
    rows[index] = np.arange(len(index))
    if np.count_nonzero(rows >= 0) != len(index):
        raise DamagedError(f"{path} is damaged: two rows belong to one image")
    return rows
