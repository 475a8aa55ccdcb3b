"""Normalisation of images by mean and standard deviation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalizer(nn.Module):
    """Converts uint8 images to floats of mean 0 and deviation 1 per channel.

    The constants are not part of a state dict: they belong to the data, not to the weights.

    Args:
        mean: of each channel, pixels scaled to [0, 1].
        std: standard deviation of each channel, pixels scaled to [0, 1].
        channels_last: memory layout of the output; a network computes in its input's layout.

    Raises:
        ValueError: mean and std differ in length, or a deviation is not positive.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], channels_last: bool = True
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(deviation > 0 for deviation in std):
            raise ValueError(f"a positive std for each mean is needed, not mean {mean}, std {std}")
        self.channels_last = channels_last
        # Equal for models with equal normalisation.
        self.key = (tuple(mean), tuple(std), channels_last)
        means, deviations = (torch.tensor(v, dtype=torch.float64) for v in (mean, std))
        scale = 1 / (255 * deviations)
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("shift", (-means / deviations).float(), persistent=False)

    def forward(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Normalise (N, C, H, W) uint8 images to floats of the dtype, in the set memory layout."""
        if images.shape[1] != len(self.scale):
            raise ValueError(f"{images.shape[1]}-channel images for {len(self.scale)} channels")
        pixels = images.permute(0, 2, 3, 1)
        width = pixels.shape[2]
        # Whole rows of pixels: broadcasting over three channels is five times slower.
        rows = pixels.flatten(2).float()
        rows = torch.addcmul(self.shift.repeat(width), rows, self.scale.repeat(width), out=rows)
        floats = rows.to(dtype).view(pixels.shape).permute(0, 3, 1, 2)
        if self.channels_last:
            return floats
        # A clone, since contiguous() leaves the strides of a single channel as they are, and
        # convolutions read the layout from the strides.
        return floats.clone(memory_format=torch.contiguous_format)
