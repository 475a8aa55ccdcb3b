"""Exponential moving average of the weights."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class WarmedAverage(AveragedModel):
    """Exponential average whose decay rises as (1 + n) / (10 + n) to the given value.

    Without this warm-up an average over few updates would be dominated by untrained weights.

    Args:
        model: model to copy; buffers are averaged too.
        decay: share of the average that an update keeps after the warm-up.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Add the model's current parameters to the average, without waiting for the device."""
        pairs = [
            *zip(self.module.parameters(), model.parameters(), strict=True),
            *zip(self.module.buffers(), model.buffers(), strict=True),
        ]
        # The count is on the host, and so is the weight derived from it.
        count = self.n_averaged
        moved = 1 - ((1 + count) / (10 + count)).clamp_max(self.decay)
        means = [mean for mean, _ in pairs if mean.is_floating_point()]
        values = [value for _, value in pairs if value.is_floating_point()]
        torch._foreach_lerp_(means, values, 1.0 if count == 0 else moved.item())
        self.n_averaged += 1
        for mean, value in pairs:
            if not mean.is_floating_point():
                mean.copy_(value)
