"""Deployable student: uint8 images in, logits out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Deployed(nn.Module):
    """Network with built-in normalisation: (N, C, H, W) uint8 images -> (N, K) float32 logits."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        means, deviations = (torch.tensor(v, dtype=torch.float64) for v in (mean, std))
        self.register_buffer("scale", (1 / (255 * deviations)).float().view(1, -1, 1, 1))
        self.register_buffer("shift", (-means / deviations).float().view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of unnormalised images."""
        return self.network(images.float() * self.scale + self.shift)
