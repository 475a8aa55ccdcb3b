"""Crops of decoded images made into square ones, where they were decoded or on the device."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

MOST_PIXELS = 4
"""Times the pixels of the finished image that a crop may have to be sent for resizing.

Larger ones would fill the memory that workers share with what resizing is about to throw away.
"""


class Crop(NamedTuple):
    """(3, h, w) uint8 of an image, perhaps to be mirrored."""

    pixels: Tensor
    mirrored: bool


class PackedCrops(NamedTuple):
    """A batch of crops in one piece, to be sent at once.

    Attributes:
        pixels: (P, 3) uint8, all rows of the first crop, of the second, and so on.
        shapes: (N, 3) int64 on the CPU: height, width, and whether mirrored.
    """

    pixels: Tensor
    shapes: Tensor

    @classmethod
    def of(cls, crops: Iterable[Crop], size: int) -> "PackedCrops":
        """In one piece what `squares` makes into images of `size` pixels a side."""
        pixels, shapes = [], []
        for crop, mirrored in crops:
            sent = resized(crop, [size, size]) if crop[0].numel() > MOST_PIXELS * size**2 else crop
            shapes.append((*sent.shape[1:], mirrored))
            pixels.append(sent.permute(1, 2, 0).reshape(-1, 3))
        return cls(torch.cat(pixels), torch.tensor(shapes))

    def on(self, device: torch.device) -> Iterator[Crop]:
        """The single ones, on the device."""
        shapes = self.shapes.tolist()
        pixels = self.pixels.to(device, non_blocking=True)
        parts = pixels.split([height * width for height, width, _ in shapes])
        for part, (height, width, mirrored) in zip(parts, shapes, strict=True):
            yield Crop(part.view(height, width, 3).permute(2, 0, 1), bool(mirrored))


def squares(crops: Iterable[Crop], size: int) -> Tensor:
    """(N, H, H, 3) uint8 images, `size` pixels a side, each made of its crop alone."""
    images = [
        (image.flip(2) if mirrored else image).permute(1, 2, 0)
        for image, mirrored in ((resized(crop, [size, size]), flip) for crop, flip in crops)
    ]
    return torch.stack(images)


def resized(image: Tensor, size: list[int]) -> Tensor:
    """A (3, h, w) uint8 image at [height, width] or [shorter side] pixels (bilinear, antialiased).

    As a tensor, which torch resizes several times faster than PIL, to the same pixels but for a
    grey level or two where they round apart; the CPU's and CUDA's may be one apart.
    """
    from torchvision.transforms.v2 import functional  # noqa: PLC0415  costs seconds

    return functional.resize(image, size, antialias=True)
