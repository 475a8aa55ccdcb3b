"""Reader of image folders, one folder per class. Imports no torch."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdrun.catalog.datasets import FOLDER_IMAGE_SIZE, ImageShape
from kdrun.data.readers.class_folders import (
    entry_is_folder,
    likeness_notes,
    list_classes,
    same_class_names,
)
from kdrun.data.readers.folder_layout import Layout, find_layout
from kdrun.data.readers.passed_over import PassedOver, hidden, shown
from kdrun.data.regular_files import Stamp, check_regular, stamp
from kdrun.data.source import Files, Source
from kdrun.errors import DataError, Stopped, some_of
from kdrun.signals import Stop

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


def read_class_folders(name: str, root: str | None, stop: Stop | None = None) -> Source[Files]:
    """List the images below root; without a test part the images of val/ are the test set.

    Raises:
        DataError: folders are missing, empty or have different classes, or a file is empty.
        Stopped: `stop` was set.
    """
    layout = find_layout(name, root)
    scan = Scan(layout, stop)
    class_names = list_classes(layout.folder("train"))
    held_out = [part for part in ("val", "test") if part in layout.parts]
    return Source(
        train=scan.part("train", class_names),
        validation=scan.part("val", class_names) if len(held_out) == 2 else None,
        test=scan.part(held_out[-1], class_names),
        class_names=class_names,
        notes=(*layout.notes, *likeness_notes(class_names), *scan.passed.lines()),
    )


def folder_shape(values: Mapping[str, Any]) -> ImageShape:
    """The shape of decoded images, with the number of class folders in train/.

    Raises:
        DataError: there are no class folders.
    """
    layout = find_layout(values["name"], values["root"])
    return ImageShape(len(list_classes(layout.folder("train"))), 3, FOLDER_IMAGE_SIZE)


class Scan:
    """A scan of the class folders of an image folder.

    Attributes:
        passed: skipped files and folders.
    """

    def __init__(self, layout: Layout, stop: Stop | None) -> None:
        self.layout = layout
        self.root = layout.root
        self.stop = stop
        self.passed = PassedOver()

    def part(self, part: str, class_names: tuple[str, ...]) -> Files:
        """The images of all classes of a part.

        Raises:
            DataError: other classes than in train/, or missing, empty or unreadable images.
        """
        same_class_names(self.layout, part, class_names)
        folder = self.layout.folder(part)
        self._pass_over_outside(folder)
        found = [self._class(folder / name) for name in class_names]
        _check_not_empty([image for images in found for image in images])
        paths, stamps = zip(*(image for images in found for image in images), strict=True)
        return Files(
            root=str(self.root),
            paths=np.array([os.fsencode(os.path.relpath(path, self.root)) for path in paths]),
            stamps=np.array(stamps, dtype=np.int64),
            labels=np.repeat(np.arange(len(found)), [len(images) for images in found]),
        )

    def _pass_over_outside(self, folder: Path) -> None:
        """Record files and folders next to the class folders."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry_is_folder(entry):
                    self.passed.file(entry.name)
                elif hidden(entry.name):
                    self.passed.folder(f"{folder.name}/{entry.name}")

    def _class(self, folder: Path) -> list[tuple[str, Stamp]]:
        try:
            images = list(self._images_below(str(folder), enclosing(folder)))
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
            raise DataError(f"{folder}: {loop(folder)}; remove the link")
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry_is_folder(entry):
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


def enclosing(folder: Path) -> tuple[tuple[int, int], ...]:
    """Device and inode of the folders around a class folder, as seen and as links resolve."""
    around = {*Path(os.path.abspath(folder)).parents, *Path(os.path.realpath(folder)).parents}
    return tuple((status.st_dev, status.st_ino) for status in map(os.stat, around))


def loop(folder: str) -> str:
    """What makes a folder enclose itself: the link, or a mount."""
    if os.path.islink(folder):
        return f"a link to {shown(os.readlink(folder))}, a folder that encloses it"
    return "the same folder as one that encloses it"
