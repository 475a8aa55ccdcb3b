"""Resizing of crops of decoded images to squares, in the worker or on the device."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

MOST_PIXELS = 4
"""Largest crop sent for resizing on the device, in multiples of the final image's pixels.

Larger crops would fill the shared memory of the workers with pixels that resizing discards.
"""


class Crop(NamedTuple):
    """A (3, h, w) uint8 crop, and whether to mirror it."""

    pixels: Tensor
    mirrored: bool


class PackedCrops(NamedTuple):
    """A batch of crops in one tensor, for a single transfer.

    Attributes:
        pixels: (P, 3) uint8, all rows of the first crop, then of the second, and so on.
        shapes: (N, 3) int64 on the CPU: height, width, whether mirrored.
    """

    pixels: Tensor
    shapes: Tensor

    @classmethod
    def of(cls, crops: Iterable[Crop], size: int) -> "PackedCrops":
        """Pack crops for `squares` with the same `size`."""
        pixels, shapes = [], []
        for crop, mirrored in crops:
            sent = resized(crop, [size, size]) if crop[0].numel() > MOST_PIXELS * size**2 else crop
            shapes.append((*sent.shape[1:], mirrored))
            pixels.append(sent.permute(1, 2, 0).reshape(-1, 3))
        return cls(torch.cat(pixels), torch.tensor(shapes))

    def on(self, device: torch.device) -> Iterator[Crop]:
        """The single crops, on the device."""
        shapes = self.shapes.tolist()
        pixels = self.pixels.to(device, non_blocking=True)
        parts = pixels.split([height * width for height, width, _ in shapes])
        for part, (height, width, mirrored) in zip(parts, shapes, strict=True):
            yield Crop(part.view(height, width, 3).permute(2, 0, 1), bool(mirrored))


def squares(crops: Iterable[Crop], size: int) -> Tensor:
    """Resize crops to (N, size, size, 3) uint8 images, each independent of the others."""
    images = [
        (image.flip(2) if mirrored else image).permute(1, 2, 0)
        for image, mirrored in ((resized(crop, [size, size]), flip) for crop, flip in crops)
    ]
    return torch.stack(images)


def resized(image: Tensor, size: list[int]) -> Tensor:
    """Resize a (3, h, w) uint8 image to [height, width] or [shorter side] (bilinear, antialiased).

    On tensors, torch is several times faster than PIL, with the same pixels up to a rounding
    difference of one or two grey levels; CPU and CUDA may differ by one.
    """
    from torchvision.transforms.v2 import functional  # noqa: PLC0415  costs seconds

    return functional.resize(image, size, antialias=True)
