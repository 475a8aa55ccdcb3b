"""How a model sees a batch: normalised in its own way, mixed like the other models' batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdrun.data.random import Stream, host_generator


class Normalizer(nn.Module):
    """uint8 images to floats of mean 0 and deviation 1, channel by channel.

    Its constants are no part of a state dict: they belong to the data, not to the weights.

    Args:
        mean: of each channel, pixels scaled to [0, 1].
        std: deviation of each channel, likewise.

    Raises:
        ValueError: mean and std differ in length, or a deviation is not positive.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(deviation > 0 for deviation in std):
            raise ValueError(f"a positive std for each mean is needed, not mean {mean}, std {std}")
        self.key = (tuple(mean), tuple(std))  # equal for models that normalise alike
        means, deviations = (torch.tensor(v, dtype=torch.float64) for v in (mean, std))
        scale = 1 / (255 * deviations)
        self.register_buffer("scale", scale.float(), persistent=False)
        self.register_buffer("shift", (-means / deviations).float(), persistent=False)

    def forward(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(N, C, H, W) uint8 to floats of the dtype, in channels_last memory."""
        if images.shape[1] != len(self.scale):
            raise ValueError(f"{images.shape[1]}-channel images for {len(self.scale)} channels")
        pixels = images.permute(0, 2, 3, 1)
        width = pixels.shape[2]
        # Whole rows of pixels, since broadcasting over three channels is five times slower.
        rows = pixels.flatten(2).float()
        rows = torch.addcmul(self.shift.repeat(width), rows, self.scale.repeat(width), out=rows)
        return rows.to(dtype).view(pixels.shape).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Mixing:
    """How a batch is mixed with itself in reverse order, the same for every model that sees it.

    Attributes:
        num_classes: K of the soft labels.
        kept: each image's own share of its label.
        box: (top, bottom, left, right) of what CutMix takes from the partner; None for mixup.
    """

    num_classes: int
    kept: float
    box: tuple[int, int, int, int] | None = None

    def images(self, images: Tensor) -> Tensor:
        """(N, C, H, W) floats, mixed."""
        partners = images.flip(0)
        if self.box is None:
            return images.lerp(partners, 1 - self.kept)
        top, bottom, left, right = self.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
        return mixed

    def labels(self, labels: Tensor) -> Tensor:
        """(N,) class indices to (N, K) float32 probabilities."""
        own = torch.zeros(len(labels), self.num_classes, device=labels.device)
        own.scatter_(1, labels[:, None], 1.0)
        return own.lerp(own.flip(0), 1 - self.kept)


def draw_mixup(*, strength: float, num_classes: int, seed: int, view: int, step: int) -> Mixing:
    """The mixing of batch `step` of pass `view` (Zhang et al., 2018).

    Args:
        strength: a of the Beta(a, a) that an image's share is drawn from; above 0.
        num_classes: of the labels.
        seed: with view and step, all that the draw depends on.
        view: the pass over the data.
        step: the batch's number in its pass.
    """
    generator = host_generator(seed, Stream.MIXING, view, step)
    return Mixing(num_classes, float(generator.beta(strength, strength)))


def draw_cutmix(
    *, strength: float, num_classes: int, image_size: int, seed: int, view: int, step: int
) -> Mixing:
    """The mixing of batch `step` of pass `view` (Yun et al., 2019).

    A box of a Beta-distributed share of the area, centred anywhere, comes from the partner; what
    of it lies outside of the image is cut off, and the labels follow the area that is left.
    """
    generator = host_generator(seed, Stream.MIXING, view, step)
    half = int(image_size * (1 - generator.beta(strength, strength)) ** 0.5) // 2
    row, column = (int(centre) for centre in generator.integers(0, image_size, 2))
    top, bottom = max(row - half, 0), min(row + half, image_size)
    left, right = max(column - half, 0), min(column + half, image_size)
    kept = 1 - (bottom - top) * (right - left) / image_size**2
    return Mixing(num_classes, kept, (top, bottom, left, right))
