"""Reader of CIFAR and SVHN through torchvision."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdrun.data.readers.download import data_root, fetch
from kdrun.data.source import Images, Source
from kdrun.errors import DataError, first_line


@dataclass(frozen=True)
class Download:
    """A torchvision data set: its class, its files, and the function that reads a part."""

    kind: str
    layout: str
    read: Callable[[Any], tuple[np.ndarray, Any]]
    parts: tuple[dict[str, Any], dict[str, Any]]


def _cifar(part: Any) -> tuple[np.ndarray, Any]:
    return part.data, part.targets


def _svhn(part: Any) -> tuple[np.ndarray, Any]:
    return part.data.transpose(0, 2, 3, 1), part.labels


BY_FLAG = ({"train": True}, {"train": False})
BY_NAME = ({"split": "train"}, {"split": "test"})
DOWNLOADS = {
    "cifar10": Download("CIFAR10", "cifar-10-batches-py/", _cifar, BY_FLAG),
    "cifar100": Download("CIFAR100", "cifar-100-python/", _cifar, BY_FLAG),
    "svhn": Download("SVHN", "train_32x32.mat and test_32x32.mat", _svhn, BY_NAME),
}


def read_download(name: str, root: str | None, download: bool) -> Source[Images]:
    """Read `cifar10`, `cifar100` or `svhn` from the root or the network.

    Raises:
        DataError: the files are missing or damaged, or cannot be downloaded.
    """
    from torchvision import datasets  # noqa: PLC0415  costs seconds

    found, folder = DOWNLOADS[name], data_root(root)
    kind = getattr(datasets, found.kind)

    def fetch_parts() -> None:
        for part in found.parts:
            kind(str(folder), download=True, **part)

    try:
        train, test = (_open(name, kind, folder, found, part) for part in found.parts)
    except DataError:
        if not download:
            raise
        fetch(name, folder, found.layout, fetch_parts)
        train, test = (_open(name, kind, folder, found, part) for part in found.parts)
    class_names = tuple(getattr(train, "classes", "0123456789"))
    return Source(_images(found, train), None, _images(found, test), class_names)


def _open(name: str, kind: Any, folder: Path, found: Download, part: dict[str, Any]) -> Any:
    try:
        return kind(str(folder), **part)
    except Exception as error:  # torchvision does not wrap the errors of damaged files
        raise DataError(
            f"{name}: no intact {found.layout} in {folder} ({first_line(error)}); "
            "set dataset.root to the folder that holds it, or dataset.download=true"
        ) from error


def _images(found: Download, part: Any) -> Images:
    pixels, labels = found.read(part)
    return Images(pixels, np.asarray(labels, dtype=np.int64))
