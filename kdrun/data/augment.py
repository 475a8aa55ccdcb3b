"""Random crops and flips of a batch, gathered straight from the images in memory.

The images are held as one list of rows with a margin of zero pixels between each two, so that a
row of any crop is a run of neighbouring pixels, copied at once.
"""

import torch
from torch import Tensor

from kdrun.data.random import Stream, counter_integers


def padding_of(image_size: int) -> int:
    """Pixels by which a crop may lie outside of the image on each side."""
    return image_size // 8


def with_margins(images: Tensor) -> Tensor:
    """(N, H, H, C) images as a (P, C) list of pixels.

    A margin, all rows of all images with a margin after each, and a blank row.
    """
    count, height, width, channels = images.shape
    padding = padding_of(height)
    rows = count * height * (width + padding)
    pixels = images.new_zeros(padding + rows + width, channels)
    pixels[padding : padding + rows].view(count, height, -1, channels)[:, :, :width] = images
    return pixels


def without_margins(pixels: Tensor, image_size: int) -> Tensor:
    """The (N, H, H, C) images in their list of pixels; a view of it."""
    padding = padding_of(image_size)
    rows = pixels[padding : len(pixels) - image_size]
    shape = (-1, image_size, image_size + padding, pixels.shape[1])
    return rows.view(shape)[:, :, :image_size]


def augment_batch(
    pixels: Tensor, image_size: int, indices: Tensor, *, seed: int, view: int, flip: bool
) -> Tensor:
    """View number `view` of some images: zero-padded by an eighth, cropped back, perhaps mirrored.

    Args:
        pixels: of all the square images, as `with_margins` lists them.
        image_size: pixels a side.
        indices: (N,) int64, which images.
        seed: of the draws; the draw of an image depends on (seed, view, index) alone.
        view: which view.
        flip: whether half of the images are mirrored left to right.

    Returns:
        (N, H, W, C), of the pixels' type.
    """
    padding = padding_of(image_size)
    offsets = 2 * padding + 1
    # One draw numbers all the views of an image.
    draw = counter_integers(seed, view, indices, Stream.CROP, high=2 * offsets * offsets)
    top = draw // (2 * offsets) - padding
    left = draw // 2 % offsets - padding
    rows = torch.arange(image_size, device=indices.device) + top[:, None]
    places = indices[:, None] * image_size + rows
    starts = padding + places * (image_size + padding) + left[:, None]
    blank = len(pixels) - image_size
    starts = torch.where((rows >= 0) & (rows < image_size), starts, blank)
    channels = pixels.shape[1]
    runs = pixels.as_strided((blank + 1, image_size * channels), (channels, 1))
    taken = runs.index_select(0, starts.view(-1))
    taken = taken.view(len(indices), image_size, image_size, channels)
    return _mirrored(taken, draw % 2) if flip else taken


def _mirrored(images: Tensor, mirror: Tensor) -> Tensor:
    """The (N, H, W, C) images, those with a 1 mirrored left to right."""
    both = torch.cat([images, images.flip(2)])
    numbers = torch.arange(len(images), device=images.device)
    return both.index_select(0, numbers + len(images) * mirror)
