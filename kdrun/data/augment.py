"""Random crops and flips of a batch, gathered straight from the images in memory."""

import torch
from torch import Tensor

from kdrun.data.random import Stream, counter_integers


def with_blank_pixel(images: Tensor) -> Tensor:
    """(N, H, W, C) images as a (N*H*W + 1, C) list of pixels that ends with a zero one."""
    channels = images.shape[3]
    return torch.cat([images.reshape(-1, channels), images.new_zeros(1, channels)])


def augment_batch(
    pixels: Tensor, image_size: int, indices: Tensor, *, seed: int, view: int, flip: bool
) -> Tensor:
    """View number `view` of some images: zero-padded by an eighth, cropped back, perhaps mirrored.

    Args:
        pixels: of all the square images, as `with_blank_pixel` lists them.
        image_size: pixels a side.
        indices: (N,) int64, which images.
        seed: of the draws; the draw of an image depends on (seed, view, index) alone.
        view: which view.
        flip: whether half of the images are mirrored left to right.

    Returns:
        (N, H, W, C), of the pixels' type.
    """
    padding = image_size // 8
    offsets = 2 * padding + 1
    # One draw numbers all the views of an image.
    draw = counter_integers(seed, view, indices, Stream.CROP, high=2 * offsets * offsets)
    top = draw // (2 * offsets) - padding
    left = draw // 2 % offsets - padding
    along = torch.arange(image_size, device=indices.device)
    rows = along + top[:, None]
    columns = along
    if flip:
        columns = torch.where(draw[:, None] % 2 == 1, along.flip(0), along)
    columns = columns + left[:, None]
    taken = _pixel_numbers(len(pixels) - 1, image_size, indices, rows, columns)
    return pixels.index_select(0, taken.view(-1)).view(*taken.shape, pixels.shape[1])


def _pixel_numbers(
    blank: int, image_size: int, indices: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """(N, H, W) places in the list of pixels; whatever lies outside of the image is `blank`."""
    row_inside = (rows >= 0) & (rows < image_size)
    column_inside = (columns >= 0) & (columns < image_size)
    row_starts = (indices[:, None] * image_size + rows) * image_size
    row_starts = torch.where(row_inside, row_starts, blank)
    columns = torch.where(column_inside, columns, blank)
    return (row_starts[:, :, None] + columns[:, None, :]).clamp_(max=blank)
