"""Decoding and augmenting image files, in a worker process or in this one."""

import os
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdrun.data.roots import first_line
from kdrun.data.source import Files
from kdrun.errors import DataError

RESIZE_RATIO = 256 / 224  # of the shorter side to the crop in evaluation


class Request(NamedTuple):
    """One batch that a worker is to make: which images, how augmented, with which random seeds."""

    indices: list[int]
    augment: str
    seeds: list[int]


class ImageFiles(Dataset[tuple[Tensor, Tensor] | str]):
    """Answers each `Request` with (N, H, H, 3) uint8 images and their (N,) indices.

    A file that cannot be decoded is answered with what to tell the user: an error raised in a
    worker would reach the run wrapped into the worker's traceback.
    """

    def __init__(self, files: Files, image_size: int) -> None:
        self.files = files
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, request: Request) -> tuple[Tensor, Tensor] | str:
        transform = self._transforms[request.augment]
        images = np.empty((len(request.indices), self.image_size, self.image_size, 3), np.uint8)
        # torchvision draws from torch's generator, which is the model's own without workers.
        with torch.random.fork_rng(devices=[]):
            for place, (index, seed) in enumerate(zip(request.indices, request.seeds, strict=True)):
                torch.default_generator.manual_seed(seed)
                try:
                    images[place] = transform(self._open(index)).permute(1, 2, 0)
                except DataError as error:
                    return str(error)
        return torch.from_numpy(images), torch.tensor(request.indices)

    def _open(self, index: int) -> Tensor:
        """The decoded (3, H, W) uint8 image, RGB whatever the file holds."""
        from PIL import Image  # noqa: PLC0415  only where files are decoded

        path = os.path.join(self.files.root, os.fsdecode(self.files.paths[index]))
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
        except Exception as error:  # whatever broken bytes lead a decoder to
            raise DataError(
                f"{path}: not a readable image ({first_line(error)}); replace or remove the file"
            ) from error
        # As a tensor, which torch resizes several times faster than PIL, to the same pixels but
        # for a grey level or two where they round apart.
        return torch.from_numpy(pixels).permute(2, 0, 1)

    @cached_property
    def _transforms(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """By augmentation; built in the process that uses them."""
        from torchvision.transforms import v2  # noqa: PLC0415  costs seconds

        size = self.image_size
        crop = v2.RandomResizedCrop(size, antialias=True)
        return {
            "none": v2.Compose(
                [v2.Resize(round(size * RESIZE_RATIO), antialias=True), v2.CenterCrop(size)]
            ),
            "crop": crop,
            "crop_flip": v2.Compose([crop, v2.RandomHorizontalFlip()]),
        }
