"""Reader of image folders, one folder per class. Imports no torch."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdrun.catalog.datasets import FOLDER_IMAGE_SIZE, ImageShape
from kdrun.data.readers.passed_over import PassedOver, hidden
from kdrun.data.regular_files import Stamp, check_regular, stamp
from kdrun.data.source import Files, Source
from kdrun.errors import DataError, Stopped, some_of
from kdrun.signals import Stop
from kdrun.store.home import expand_home

SUFFIXES = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
"""Suffixes of the image files; only the first frame or page is read."""

LAYOUT = "train/CLASS/IMAGE and val/CLASS/IMAGE, or test/CLASS/IMAGE, or both"


def read_class_folders(name: str, root: str | None, stop: Stop | None = None) -> Source[Files]:
    """List the images below root; without test/ the images of val/ are the test set.

    Raises:
        DataError: folders are missing, empty or have different classes, or a file is empty.
        Stopped: `stop` was set.
    """
    folder = given_root(name, root)
    scan = Scan(folder, stop)
    class_names = list_classes(folder / "train")
    held_out = [part for part in ("val", "test") if (folder / part).is_dir()]
    if not held_out:
        raise DataError(f"{folder}: has neither val/ nor test/; dataset.root must hold {LAYOUT}")
    return Source(
        train=scan.part("train", class_names),
        validation=scan.part("val", class_names) if len(held_out) == 2 else None,
        test=scan.part(held_out[-1], class_names),
        class_names=class_names,
        notes=scan.passed.lines(),
    )


def folder_shape(values: Mapping[str, Any]) -> ImageShape:
    """The shape of decoded images, with the number of class folders in train/.

    Raises:
        DataError: there are no class folders.
    """
    folder = given_root(values["name"], values["root"])
    return ImageShape(len(list_classes(folder / "train")), 3, FOLDER_IMAGE_SIZE)


def given_root(name: str, root: str | None) -> Path:
    """The folder set as `dataset.root`.

    Raises:
        DataError: `dataset.root` is not set.
    """
    if root is None:
        raise DataError(f"{name}: set dataset.root to a folder that holds {LAYOUT}")
    return expand_home(root)


def list_classes(folder: Path) -> tuple[str, ...]:
    """The sorted names of the class folders, without hidden and system folders.

    Raises:
        DataError: the folder is missing or unreadable, or holds fewer than two classes.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}; dataset.root must be a folder that holds {LAYOUT}"
        ) from error
    names = [name for name in names if not hidden(name)]
    if len(names) < 2:
        raise DataError(
            f"{folder}: holds {len(names)} class folders, at least 2 are needed; "
            f"dataset.root must hold {LAYOUT}"
        )
    return tuple(names)


class Scan:
    """A scan of the class folders of an image folder.

    Attributes:
        passed: skipped files and folders.
    """

    def __init__(self, root: Path, stop: Stop | None) -> None:
        self.root = root
        self.stop = stop
        self.passed = PassedOver()

    def part(self, part: str, class_names: tuple[str, ...]) -> Files:
        """The images of all classes of a part.

        Raises:
            DataError: other classes than in train/, or missing, empty or unreadable images.
        """
        _check_same_classes(self.root, part, class_names)
        self._pass_over_outside(part)
        found = [self._class(self.root / part / name) for name in class_names]
        _check_not_empty([image for images in found for image in images])
        paths, stamps = zip(*(image for images in found for image in images), strict=True)
        return Files(
            root=str(self.root),
            paths=np.array([os.fsencode(os.path.relpath(path, self.root)) for path in paths]),
            stamps=np.array(stamps, dtype=np.int64),
            labels=np.repeat(np.arange(len(found)), [len(images) for images in found]),
        )

    def _pass_over_outside(self, part: str) -> None:
        """Record files and folders next to the class folders."""
        with os.scandir(self.root / part) as entries:
            for entry in entries:
                if not entry.is_dir():
                    self.passed.file(entry.name)
                elif hidden(entry.name):
                    self.passed.folder(f"{part}/{entry.name}")

    def _class(self, folder: Path) -> list[tuple[str, Stamp]]:
        try:
            images = list(self._images_below(str(folder), ()))
        except OSError as error:
            raise DataError(
                f"{error.filename}: {error.strerror}; make it readable or remove it"
            ) from error
        if not images:
            raise DataError(
                f"{folder}: no image in this class folder ({', '.join(SUFFIXES)}); "
                "add some, or remove the folder from every part"
            )
        return images

    def _images_below(
        self, folder: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[str, Stamp]]:
        """Path and stamp of every image file, in the order of their names.

        Args:
            above: device and inode of the enclosing folders.
        """
        if self.stop:
            raise Stopped("stopped while listing the image folders")
        status = os.stat(folder)
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise DataError(f"{folder}: a link to an enclosing folder; remove the link")
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir():
                    if hidden(entry.name):
                        self.passed.folder(os.path.relpath(entry.path, self.root))
                    else:
                        yield from self._images_below(entry.path, (*above, here))
                elif hidden(entry.name) or not entry.name.lower().endswith(SUFFIXES):
                    self.passed.file(entry.name)
                else:
                    status = os.stat(entry.path)  # entry.stat lacks the inode on Windows
                    check_regular(entry.path, status)
                    yield entry.path, stamp(status)


def _check_not_empty(images: list[tuple[str, Stamp]]) -> None:
    empty = [path for path, (size, *_) in images if size == 0]
    if len(empty) == 1:
        raise DataError(f"{empty[0]}: an empty file; replace or remove it")
    if empty:
        others = f"{len(empty) - 1} more ({some_of(empty[1:])})"
        raise DataError(f"{empty[0]}: an empty file, and {others}; replace or remove them")


def _check_same_classes(folder: Path, part: str, class_names: tuple[str, ...]) -> None:
    unlike = sorted(set(list_classes(folder / part)) ^ set(class_names))
    if unlike:
        where = "train" if unlike[0] in class_names else part
        raise DataError(
            f"{folder / part}: other classes than in {folder / 'train'}; "
            f"'{unlike[0]}' is only in {where}/; make the class folders equal"
        )
