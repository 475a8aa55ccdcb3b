"""Decoding and random cropping of image files, in a worker process or in the main process."""

import os
import time
from collections.abc import Iterator
from functools import cached_property
from io import BufferedReader
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from kdrun.data.crops import Crop, PackedCrops, resized, squares
from kdrun.data.lost_workers import SHORTAGES, error_number, failed
from kdrun.data.orientation import image_digest
from kdrun.data.regular_files import open_regular, stamp
from kdrun.data.rgb_pixels import ValueRange, read_rgb
from kdrun.data.source import Files
from kdrun.errors import DataError, first_line, some_of

if TYPE_CHECKING:
    from torchvision.transforms import v2


LOOK = 10.0
"""Seconds to search for more undecodable files after the first one."""

RESIZE_RATIO = 256 / 224  # shorter side / centre crop in evaluation

LONGEST = 4
"""Largest aspect ratio of an image resized as a whole in evaluation.

Longer images are cropped to their middle first: resizing the rest would take unbounded memory.
"""


class Request(NamedTuple):
    """A batch requested from a worker: image indices, augmentation and random seeds."""

    indices: list[int]
    augment: str
    seeds: list[int]


class Unreadable(DataError):
    """An undecodable file; there may be more."""


class Refused(NamedTuple):
    """A worker's answer in place of images: an error.

    Attributes:
        text: for the user.
        unreadable: whether the file is undecodable, so that there may be more.
    """

    text: str
    unreadable: bool


Answer = tuple[Tensor | PackedCrops, Tensor]


class ImageFiles(Dataset[Answer | Refused]):
    """Answers each `Request` with (N, H, H, 3) uint8 images and their (N,) indices.

    The answer for an undecodable file is an error message: an exception raised in a worker would
    reach the run wrapped in the worker's traceback.

    Args:
        files: the images.
        image_size: H.
        leave_resizing: answer with augmented images as `PackedCrops`, resized by the receiver.
        value_range: of grey levels of more than 8 bits; None if the file format defines it.
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

    def __getitem__(self, request: Request) -> Answer | Refused:
        try:
            return shared((self._images(request), torch.tensor(request.indices)))
        except DataError as error:
            return Refused(str(error), isinstance(error, Unreadable))

    def _images(self, request: Request) -> Tensor | PackedCrops:
        if request.augment == "none":
            return torch.stack([self._centre(index) for index in request.indices])
        make = PackedCrops.of if self.leave_resizing else squares
        # torchvision draws from torch's global generator; without workers the model uses it too.
        with torch.random.fork_rng(devices=[]):
            return make(self._crops(request), self.image_size)

    @property
    def _side(self) -> int:
        """Length of the shorter side in evaluation, in pixels."""
        return round(self.image_size * RESIZE_RATIO)

    def _centre(self, index: int) -> Tensor:
        """The (H, H, 3) centre crop of an image."""
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
        """Decode an image to (3, H, W) uint8 RGB.

        Raises:
            DataError: the file cannot be used, or has changed since the run began.
        """
        path = self._path(index)
        try:
            with open_regular(path) as file:
                self._check_unchanged(index, file)
                pixels = read_rgb(path, file, self.value_range, self._side)
                self._check_unchanged(index, file)
        except DataError:
            raise
        except Exception as error:  # damaged files raise almost anything in a decoder
            if error_number(error) in SHORTAGES:
                line = f"{path}: cannot be decoded now: {SHORTAGES[error_number(error)]}"
                raise DataError(line) from error
            raise Unreadable(f"{path}: not a readable image ({fault(error)})") from error
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _check_unchanged(self, index: int, file: BufferedReader) -> None:
        """Compare the file's stamp, or else its content, with the ones at the start of the run."""
        if self.files.digests is None:
            return
        stamps = tuple(self.files.stamps[index].tolist())
        if stamp(os.fstat(file.fileno()))[: len(stamps)] == stamps:
            return
        file.seek(0)
        found = image_digest(file)
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
        """The error message for an undecodable file, with the names of others.

        Args:
            known: the message of the first.
            seconds: to search for the others, so that not each of them ends a run.
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
                continue  # reported when it is reached
        if not others:
            return f"{known}; replace or remove the file"
        more = f"{len(others)} more ({some_of(others)})"
        return f"{known}, and {more} that cannot be decoded either; replace or remove the files"

    @cached_property
    def _crop(self) -> "v2.RandomResizedCrop":
        """The random crop transform; built in the process that uses it."""
        from torchvision.transforms import v2  # noqa: PLC0415  costs seconds

        return v2.RandomResizedCrop(self.image_size)


def shared(answer: Answer) -> Answer:
    """Move a worker's answer to shared memory, through which the run gets it.

    Otherwise torch does so in a thread: if it fails there, the run waits for the answer forever.

    Raises:
        DataError: there is no space.
    """
    if get_worker_info() is None:
        return answer
    images, indices = answer
    try:
        for tensor in (*(images if isinstance(images, PackedCrops) else (images,)), indices):
            tensor.share_memory_()
    except RuntimeError as error:
        raise DataError(failed(error)) from error
    return answer


def fault(error: Exception) -> str:
    """The fault of a file; Pillow's message names the open file, differently each time."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "of no format that Pillow knows"
    if isinstance(error, OSError) and error.errno:
        return str(error.strerror)
    return first_line(error)


def middle(image: Tensor) -> Tensor:
    """Crop a very long (3, H, W) image to its middle; others are returned unchanged."""
    most = LONGEST * min(image.shape[1:])
    for dimension, length in enumerate(image.shape[1:], 1):
        if length > most:
            kept = most + (length - most) % 2  # with the same centre
            image = image.narrow(dimension, (length - kept) // 2, kept)
    return image
