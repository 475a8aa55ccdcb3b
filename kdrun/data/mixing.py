"""Mixup and CutMix, drawn per batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kdrun.data.counter_random import RandomStream, host_generator


@dataclass(frozen=True)
class Mixing:
    """The mixing of a batch with itself in reverse order, common to all models.

    Attributes:
        num_classes: K of the soft labels.
        kept: the share of each image's own label.
        box: (top, bottom, left, right) of the patch that CutMix pastes; None for mixup.
    """

    num_classes: int
    kept: float
    box: tuple[int, int, int, int] | None = None

    def images(self, images: Tensor) -> Tensor:
        """Mix (N, C, H, W) floats."""
        partners = images.flip(0)
        if self.box is None:
            return images.lerp(partners, 1 - self.kept)
        top, bottom, left, right = self.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
        return mixed

    def labels(self, labels: Tensor) -> Tensor:
        """Mix (N,) class indices into (N, K) float32 probabilities."""
        own = torch.zeros(len(labels), self.num_classes, device=labels.device)
        own.scatter_(1, labels[:, None], 1.0)
        return own.lerp(own.flip(0), 1 - self.kept)


def draw_mixup(*, strength: float, num_classes: int, seed: int, view: int, step: int) -> Mixing:
    """The mixing of batch `step` of pass `view` (Zhang et al., 2018).

    Args:
        strength: a of the Beta(a, a) distribution of an image's share; above 0.
        num_classes: of the labels.
        seed: of the draw, which depends only on seed, view and step.
        view: the pass over the data.
        step: number of the batch in its pass.
    """
    generator = host_generator(seed, RandomStream.MIXING, view, step)
    return Mixing(num_classes, float(generator.beta(strength, strength)))


def draw_cutmix(
    *, strength: float, num_classes: int, image_size: int, seed: int, view: int, step: int
) -> Mixing:
    """The mixing of batch `step` of pass `view` (Yun et al., 2019).

    A box with a Beta-distributed share of the area and a uniform centre is pasted from the partner;
    the box is clipped to the image, and the labels follow the clipped area.
    """
    generator = host_generator(seed, RandomStream.MIXING, view, step)
    half = int(image_size * (1 - generator.beta(strength, strength)) ** 0.5) // 2
    row, column = (int(centre) for centre in generator.integers(0, image_size, 2))
    top, bottom = max(row - half, 0), min(row + half, image_size)
    left, right = max(column - half, 0), min(column + half, image_size)
    kept = 1 - (bottom - top) * (right - left) / image_size**2
    return Mixing(num_classes, kept, (top, bottom, left, right))
