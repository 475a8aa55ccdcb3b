"""Decoding of image files and random crops of them, in a worker process or in this one."""

import hashlib
import os
import time
from collections.abc import Iterator
from functools import cached_property
from io import BufferedReader
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdrun.data.crops import Crop, PackedCrops, resized, squares
from kdrun.data.regular_files import open_regular, stamp
from kdrun.data.rgb_pixels import ValueRange, read_rgb
from kdrun.data.source import Files
from kdrun.errors import DataError, first_line, some_of

if TYPE_CHECKING:
    from torchvision.transforms import v2


LOOK = 10.0
"""Seconds to look for more files that cannot be decoded, once there is one."""

RESIZE_RATIO = 256 / 224  # of the shorter side to the crop in evaluation

LONGEST = 4
"""Times its shorter side that an image may be long to be resized whole in evaluation.

Of a longer one the middle is: resizing the rest would take memory without bound.
"""


class Request(NamedTuple):
    """One batch that a worker is to make: which images, how augmented, with which random seeds."""

    indices: list[int]
    augment: str
    seeds: list[int]


class Unreadable(DataError):
    """A file that cannot be decoded, as others may not be either."""


class Refused(NamedTuple):
    """An answer that says why there are no images.

    Attributes:
        text: for the user.
        unreadable: whether there may be more files like it.
    """

    text: str
    unreadable: bool


class ImageFiles(Dataset[tuple[Tensor | PackedCrops, Tensor] | Refused]):
    """Answers each `Request` with (N, H, H, 3) uint8 images and their (N,) indices.

    A file that cannot be decoded is answered with what to tell the user: an error raised in a
    worker would reach the run wrapped into the worker's traceback.

    Args:
        files: the images.
        image_size: H.
        leave_resizing: answer with augmented images as `PackedCrops`, for the asker to resize.
        value_range: of grey levels of more than 8 bits; None where the files tell it.
    """

    def __init__(
        self,
        files: Files,
        image_size: int,
        *,
        leave_resizing: bool,
        value_range: ValueRange | None = None,
    ) -> None:
        self.files = files.slim()
        self.image_size = image_size
        self.leave_resizing = leave_resizing
        self.value_range = value_range

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, request: Request) -> tuple[Tensor | PackedCrops, Tensor] | Refused:
        try:
            images = self._images(request)
        except DataError as error:
            return Refused(str(error), isinstance(error, Unreadable))
        return images, torch.tensor(request.indices)

    def _images(self, request: Request) -> Tensor | PackedCrops:
        if request.augment == "none":
            return torch.stack([self._centre(index) for index in request.indices])
        make = PackedCrops.of if self.leave_resizing else squares
        # torchvision draws from torch's generator, which is the model's own without workers.
        with torch.random.fork_rng(devices=[]):
            return make(self._crops(request), self.image_size)

    @property
    def _side(self) -> int:
        """Pixels of the shorter side in evaluation."""
        return round(self.image_size * RESIZE_RATIO)

    def _centre(self, index: int) -> Tensor:
        """The (H, H, 3) middle of an image."""
        image = resized(middle(self._open(index)), [self._side])
        top, left = (round((length - self.image_size) / 2) for length in image.shape[1:])
        return image[:, top : top + self.image_size, left : left + self.image_size].permute(1, 2, 0)

    def _crops(self, request: Request) -> Iterator[Crop]:
        for index, seed in zip(request.indices, request.seeds, strict=True):
            image = self._open(index)
            torch.default_generator.manual_seed(seed)
            box = self._crop.make_params([image])
            top, left = box["top"], box["left"]
            mirrored = request.augment == "crop_flip" and bool(torch.rand(1) < 0.5)
            yield Crop(image[:, top : top + box["height"], left : left + box["width"]], mirrored)

    def _open(self, index: int) -> Tensor:
        """The decoded (3, H, W) uint8 image, RGB whatever the file holds.

        Raises:
            DataError: it cannot be used, or is not what it was when the run began.
        """
        path = self._path(index)
        try:
            with open_regular(path) as file:
                self._check_unchanged(index, file)
                pixels = read_rgb(path, file, self.value_range, self._side)
                self._check_unchanged(index, file)
        except DataError:
            raise
        except Exception as error:  # whatever broken bytes lead a decoder to
            # Pillow's words for it name the open file, which is another each time.
            unknown = type(error).__name__ == "UnidentifiedImageError"
            why = "of no format that Pillow knows" if unknown else first_line(error)
            raise Unreadable(f"{path}: not a readable image ({why})") from error
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _check_unchanged(self, index: int, file: BufferedReader) -> None:
        """Compare the stamp, and where that differs the content, with what the run began with."""
        if self.files.digests is None:
            return
        stamps = tuple(self.files.stamps[index].tolist())
        if stamp(os.fstat(file.fileno()))[: len(stamps)] == stamps:
            return
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        expected = self.files.digests[index].tobytes()
        if found[: len(expected)] != expected:
            raise DataError(
                f"{self._path(index)}: changed since the run began; put it back as it was, or "
                "start a new run"
            )

    def _path(self, index: int) -> str:
        return os.path.join(self.files.root, os.fsdecode(self.files.paths[index]))

    def unreadable(self, known: str, seconds: float = LOOK) -> str:
        """What to tell the user of a file that cannot be decoded, and of others like it.

        Args:
            known: what decoding it was answered with.
            seconds: to look for the others, so that not each of them ends a run.
        """
        deadline, others = time.monotonic() + seconds, []
        for index in range(len(self)):
            if time.monotonic() > deadline:
                break
            try:
                self._open(index)
            except Unreadable as error:
                others += [] if str(error) == known else [self._path(index)]
            except DataError:
                continue  # told once it is met
        if not others:
            return f"{known}; replace or remove the file"
        more = f"{len(others)} more ({some_of(others)})"
        return f"{known}, and {more} that are not either; replace or remove the files"

    @cached_property
    def _crop(self) -> "v2.RandomResizedCrop":
        """Draws the crops; built in the process that uses it."""
        from torchvision.transforms import v2  # noqa: PLC0415  costs seconds

        return v2.RandomResizedCrop(self.image_size)


def middle(image: Tensor) -> Tensor:
    """A (3, H, W) image, of a very long one the middle."""
    most = LONGEST * min(image.shape[1:])
    for dimension, length in enumerate(image.shape[1:], 1):
        if length > most:
            kept = most + (length - most) % 2  # around the same centre
            image = image.narrow(dimension, (length - kept) // 2, kept)
    return image
