"""Random crops and flips of a batch, gathered straight from the images in memory.

The images are held as one list of pixels, row after row, zero in the margins between them, so that
a row of any crop is a run of neighbouring pixels, copied at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from kdrun.data.counter_random import RandomStream, counter_integers


class Crops(NamedTuple):
    """Which views of some images: zero-padded by an eighth, cropped back, perhaps mirrored.

    Attributes:
        starts: (N,) places of the crops' first pixels in the list.
        mirrored: (N,) 1 where a crop is mirrored left to right, else 0.
    """

    starts: Tensor
    mirrored: Tensor

    def part(self, begin: int, end: int) -> "Crops":
        """Those from number `begin` to before `end`."""
        return Crops(self.starts[begin:end], self.mirrored[begin:end])


def margin_of(image_size: int) -> int:
    """Pixels by which a crop may lie outside of the image on each side."""
    return image_size // 8


def with_margins(images: Tensor) -> Tensor:
    """(N, H, H, C) images as a (P, C) list of pixels, each in a margin that neighbours share."""
    count, size, _, channels = images.shape
    margin = margin_of(size)
    side = size + margin
    pixels = images.new_zeros(margin + (margin + count * side) * side, channels)
    without_margins(pixels, size).copy_(images)
    return pixels


def without_margins(pixels: Tensor, image_size: int) -> Tensor:
    """The (N, H, H, C) images in their list of pixels; a view of it."""
    margin = margin_of(image_size)
    side = image_size + margin
    rows = pixels[margin + margin * side :].view(-1, side, side, pixels.shape[1])
    return rows[:, :image_size, :image_size]


def draw_crops(image_size: int, indices: Tensor, *, seed: int, view: int) -> Crops:
    """View number `view` of some images.

    Args:
        image_size: pixels a side.
        indices: (N,) int64, which images.
        seed: of the draws; the draw of an image depends on (seed, view, index) alone.
        view: which view.
    """
    margin = margin_of(image_size)
    side = image_size + margin
    offsets = 2 * margin + 1
    # One draw numbers all the views of an image.
    draw = counter_integers(seed, view, indices, RandomStream.CROP, high=2 * offsets * offsets)
    top, left = draw // (2 * offsets), draw // 2 % offsets  # from the margin's outer corner
    return Crops((indices * side + top) * side + left, draw % 2)


def take_crops(pixels: Tensor, image_size: int, crops: Crops, *, flip: bool) -> Tensor:
    """The (N, H, W, C) crops.

    Args:
        pixels: of all the square images, as `with_margins` lists them.
        image_size: pixels a side.
        crops: of some of the images.
        flip: whether those that are drawn to be mirrored are.
    """
    channels = pixels.shape[1]
    side = image_size + margin_of(image_size)
    rows = crops.starts[:, None] + torch.arange(0, image_size * side, side, device=pixels.device)
    runs = pixels.as_strided((len(pixels) - image_size + 1, image_size * channels), (channels, 1))
    taken = runs.index_select(0, rows.view(-1)).view(-1, image_size, image_size, channels)
    return _mirrored(taken, crops.mirrored) if flip else taken


def _mirrored(images: Tensor, mirror: Tensor) -> Tensor:
    """The (N, H, W, C) images, those with a 1 mirrored left to right."""
    both = torch.cat([images, images.flip(2)])
    numbers = torch.arange(len(images), device=images.device)
    return both.index_select(0, numbers + len(images) * mirror)
