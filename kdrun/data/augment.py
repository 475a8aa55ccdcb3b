"""Random crops and flips of a batch, gathered straight from the images in memory.

The images are stored as one list of pixels, row by row, with zero margins between them: every row
of a crop is a contiguous run of pixels, copied at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from kdrun.data.counter_random import RandomStream, counter_integers


class Crops(NamedTuple):
    """Random crops of images: zero-padded by an eighth, cropped to size, possibly mirrored.

    Attributes:
        starts: (N,) positions of the crops' first pixels in the list.
        mirrored: (N,) 1 where a crop is mirrored left to right, else 0.
    """

    starts: Tensor
    mirrored: Tensor

    def part(self, begin: int, end: int) -> "Crops":
        """The slice `begin:end`."""
        return Crops(self.starts[begin:end], self.mirrored[begin:end])


def margin_of(image_size: int) -> int:
    """Padding in pixels on each side of an image."""
    return image_size // 8


def with_margins(images: Tensor) -> Tensor:
    """Convert (N, H, H, C) images to a (P, C) list of pixels, with margins shared by neighbours."""
    count, size, _, channels = images.shape
    margin = margin_of(size)
    side = size + margin
    pixels = images.new_zeros(margin + (margin + count * side) * side, channels)
    without_margins(pixels, size).copy_(images)
    return pixels


def without_margins(pixels: Tensor, image_size: int) -> Tensor:
    """The (N, H, H, C) images, as a view of their list of pixels."""
    margin = margin_of(image_size)
    side = image_size + margin
    rows = pixels[margin + margin * side :].view(-1, side, side, pixels.shape[1])
    return rows[:, :image_size, :image_size]


def draw_crops(image_size: int, indices: Tensor, *, seed: int, view: int) -> Crops:
    """Draw the crops of view number `view`.

    Args:
        image_size: height and width.
        indices: (N,) int64, of the images.
        seed: of the draws; the crop of an image depends only on (seed, view, index).
        view: number of the view.
    """
    margin = margin_of(image_size)
    side = image_size + margin
    offsets = 2 * margin + 1
    # One random integer selects among all crops of an image.
    draw = counter_integers(seed, view, indices, RandomStream.CROP, high=2 * offsets * offsets)
    top, left = draw // (2 * offsets), draw // 2 % offsets  # from the margin's outer corner
    return Crops((indices * side + top) * side + left, draw % 2)


def take_crops(pixels: Tensor, image_size: int, crops: Crops, *, flip: bool) -> Tensor:
    """Gather the (N, H, W, C) crops.

    Args:
        pixels: of all the square images, as returned by `with_margins`.
        image_size: height and width.
        crops: crops to gather.
        flip: whether to mirror the crops drawn as mirrored.
    """
    channels = pixels.shape[1]
    side = image_size + margin_of(image_size)
    rows = crops.starts[:, None] + torch.arange(0, image_size * side, side, device=pixels.device)
    runs = pixels.as_strided((len(pixels) - image_size + 1, image_size * channels), (channels, 1))
    taken = runs.index_select(0, rows.view(-1)).view(-1, image_size, image_size, channels)
    return _mirrored(taken, crops.mirrored) if flip else taken


def _mirrored(images: Tensor, mirror: Tensor) -> Tensor:
    """Mirror the (N, H, W, C) images marked 1 left to right."""
    both = torch.cat([images, images.flip(2)])
    numbers = torch.arange(len(images), device=images.device)
    return both.index_select(0, numbers + len(images) * mirror)
