"""Decoding of image files and random crops of them, in a worker process or in this one."""

import os
import time
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdrun.data.crops import Crop, PackedCrops, resized, squares
from kdrun.data.source import Files
from kdrun.errors import DataError, first_line, some_of

if TYPE_CHECKING:
    from torchvision.transforms import v2


LOOK = 10.0
"""Seconds to look for more files that cannot be decoded, once there is one."""

RESIZE_RATIO = 256 / 224  # of the shorter side to the crop in evaluation


class Request(NamedTuple):
    """One batch that a worker is to make: which images, how augmented, with which random seeds."""

    indices: list[int]
    augment: str
    seeds: list[int]


class ImageFiles(Dataset[tuple[Tensor | PackedCrops, Tensor] | str]):
    """Answers each `Request` with (N, H, H, 3) uint8 images and their (N,) indices.

    A file that cannot be decoded is answered with what to tell the user: an error raised in a
    worker would reach the run wrapped into the worker's traceback.

    Args:
        files: the images.
        image_size: H.
        leave_resizing: answer with augmented images as `PackedCrops`, for the asker to resize.
    """

    def __init__(self, files: Files, image_size: int, *, leave_resizing: bool) -> None:
        self.files = files
        self.image_size = image_size
        self.leave_resizing = leave_resizing

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, request: Request) -> tuple[Tensor | PackedCrops, Tensor] | str:
        try:
            images = self._images(request)
        except DataError as error:
            return str(error)
        return images, torch.tensor(request.indices)

    def _images(self, request: Request) -> Tensor | PackedCrops:
        if request.augment == "none":
            return torch.stack([self._centre(index) for index in request.indices])
        make = PackedCrops.of if self.leave_resizing else squares
        # torchvision draws from torch's generator, which is the model's own without workers.
        with torch.random.fork_rng(devices=[]):
            return make(self._crops(request), self.image_size)

    def _centre(self, index: int) -> Tensor:
        """The (H, H, 3) middle of an image."""
        image = resized(self._open(index), [round(self.image_size * RESIZE_RATIO)])
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
        """The decoded (3, H, W) uint8 image, RGB whatever the file holds."""
        from PIL import Image  # noqa: PLC0415  only where files are decoded

        path = self._path(index)
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
        except Exception as error:  # whatever broken bytes lead a decoder to
            raise DataError(f"{path}: not a readable image ({first_line(error)})") from error
        return torch.from_numpy(pixels).permute(2, 0, 1)

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
            except DataError as error:
                others += [] if str(error) == known else [self._path(index)]
        if not others:
            return f"{known}; replace or remove the file"
        more = f"{len(others)} more ({some_of(others)})"
        return f"{known}, and {more} that are not either; replace or remove the files"

    @cached_property
    def _crop(self) -> "v2.RandomResizedCrop":
        """Draws the crops; built in the process that uses it."""
        from torchvision.transforms import v2  # noqa: PLC0415  costs seconds

        return v2.RandomResizedCrop(self.image_size)
