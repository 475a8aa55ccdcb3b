"""Reader of MNIST and Fashion-MNIST from IDX files."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdrun.data.readers.download import data_root, fetch
from kdrun.data.readers.idx import read_idx
from kdrun.data.source import Images, Source
from kdrun.errors import DataError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
TORCHVISION_NAMES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}

# Debian's package dataset-fashion-mnist.
PACKAGED = {"mnist": (), "fashion_mnist": (Path("/usr/share/datasets/fashion-mnist"),)}
CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}


def read_mnist(name: str, root: str | None, download: bool) -> Source[Images]:
    """Read `mnist` or `fashion_mnist` from the root, a system package, or the network.

    Raises:
        DataError: the files are missing, incomplete or damaged, or cannot be downloaded.
    """
    folder = data_root(root)
    place = _place_of(name, folder)
    if place is None and download:
        fetch(name, folder, ", ".join(FILES), lambda: _download(name, folder))
        place = _place_of(name, folder)
    if place is None:
        looked = ", ".join(str(place) for place in _places(name, folder))
        raise DataError(
            f"{name}: no {FILES[0]}[.gz] in any of {looked}; "
            "set dataset.root to the folder that holds it, or dataset.download=true"
        )
    train_images, train_labels, test_images, test_labels = (_find(place, file) for file in FILES)
    return Source(
        train=_read_part(train_images, train_labels),
        validation=None,
        test=_read_part(test_images, test_labels),
        class_names=CLASS_NAMES[name],
    )


def _places(name: str, root: Path) -> Iterator[Path]:
    yield root
    yield root / TORCHVISION_NAMES[name] / "raw"
    yield from PACKAGED[name]


def _place_of(name: str, root: Path) -> Path | None:
    """The first folder with any of the files."""
    for place in _places(name, root):
        if any(_present(place, file) for file in FILES):
            return place
    return None


def _find(place: Path, file: str) -> Path:
    found = _present(place, file)
    if found is None:
        raise DataError(
            f"{place / file}[.gz]: missing, though other files are there; add it, or empty "
            "the folder"
        )
    return found


def _present(place: Path, file: str) -> Path | None:
    # Not Path.is_file: it raises for a folder without search permission.
    paths = (place / file, place / f"{file}.gz")
    return next((path for path in paths if os.path.isfile(path)), None)


def _read_part(images: Path, labels: Path) -> Images:
    pixels = read_idx(images, 3)[..., None]
    numbers = read_idx(labels, 1).astype(np.int64)
    if len(pixels) != len(numbers):
        raise DataError(
            f"{images}: {len(pixels)} images, but {labels} holds {len(numbers)} labels; "
            "use two files of one download"
        )
    return Images(pixels, numbers)


def _download(name: str, root: Path) -> None:
    from torchvision import datasets  # noqa: PLC0415  costs seconds

    getattr(datasets, TORCHVISION_NAMES[name])(str(root), download=True)
