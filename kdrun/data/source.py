"""The parts of a data set, in memory or on disk, and their consistency checks. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from kdrun.errors import DataError


@dataclass(frozen=True)
class Images:
    """N images in memory: (N, H, W, C) uint8 pixels and (N,) int64 labels."""

    pixels: np.ndarray
    labels: np.ndarray

    def take(self, places: np.ndarray) -> "Images":
        """The images at the places."""
        return Images(self.pixels[places], self.labels[places])


@dataclass(frozen=True)
class Files:
    """N images on disk.

    Attributes:
        root: base folder of the paths.
        paths: (N,) bytes: a quarter of the memory of text, in every worker.
        stamps: (N, 4) int64, each file's `stamp` at the time of listing or hashing.
        labels: (N,) int64.
        digests: (N, 32) uint8, the `ImageDigest` of each file; None if not hashed.
    """

    root: str
    paths: np.ndarray
    stamps: np.ndarray
    labels: np.ndarray
    digests: np.ndarray | None = None

    @property
    def sizes(self) -> np.ndarray:
        """(N,) int64 file sizes in bytes."""
        return np.ascontiguousarray(self.stamps[:, 0])

    def take(self, places: np.ndarray) -> "Files":
        """The images at the places."""
        digests = None if self.digests is None else self.digests[places]
        paths, stamps, labels = self.paths[places], self.stamps[places], self.labels[places]
        return Files(self.root, paths, stamps, labels, digests)

    def slim(self) -> "Files":
        """A copy with only the data compared during decoding: every worker holds one."""
        digests = None if self.digests is None else self.digests[:, :16].copy()
        return replace(self, stamps=self.stamps[:, :3].copy(), digests=digests)


Part = TypeVar("Part", Images, Files)


@dataclass(frozen=True)
class Source(Generic[Part]):
    """The parts of a data set and the names of its classes, in the order of the labels.

    Attributes:
        notes: lines for the user, such as the skipped files.
    """

    train: Part
    validation: Part | None
    test: Part
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check_images(name: str, source: Source[Images]) -> None:
    """Check pixels and labels of all parts.

    Raises:
        DataError: inconsistent images or labels; names the part.
    """
    for part, images in (("training", source.train), ("test", source.test)):
        pixels, labels = images.pixels, images.labels
        if len(pixels) != len(labels):
            raise DataError(f"{name}: {len(pixels)} {part} images, but {len(labels)} labels")
        if pixels.ndim != 4 or pixels.shape[1] != pixels.shape[2] or pixels.shape[3] not in (1, 3):
            shape = " x ".join(map(str, pixels.shape[1:]))
            raise DataError(f"{name}: {part} images are {shape}; must be square, grey or RGB")
        check_labels(f"{name}: {part} labels", labels, source.class_names)
    shapes = [images.pixels.shape[1:] for images in (source.train, source.test)]
    if shapes[0] != shapes[1]:
        raise DataError(f"{name}: training images are {shapes[0]}, test images {shapes[1]}")


def check_labels(what: str, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Check that there are labels and that each is a valid class index.

    Raises:
        DataError: there are none, or one is out of range; names the first of these.
    """
    if len(labels) == 0:
        raise DataError(f"{what}: there are none; download the files again")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{what}: label {labels[first]} of image {first} is not from 0 to "
            f"{len(class_names) - 1}; download the files again"
        )


def check_classes(
    what: str, labels: np.ndarray, class_names: Sequence[str], *, limit: int | None
) -> None:
    """Check that every class has an image.

    Args:
        what: the images, for the message.
        limit: `dataset.limit`, by which they were selected.

    Raises:
        DataError: a class has none; names it.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    rarest = int(counts.argmin())
    if counts[rarest] == 0:
        remedy = "add some" if limit is None else f"raise dataset.limit={limit}, or add some"
        raise DataError(
            f"{what}: none of {len(labels)} is of class '{class_names[rarest]}', each class needs "
            f"one; {remedy}"
        )
