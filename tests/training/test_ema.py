"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from kdrun.training.ema import WarmedAverage


def test_the_average_of_the_weights_warms_up_and_copies_counters():
    model = nn.BatchNorm1d(1)
    average = WarmedAverage(model, 0.3)
    expected = None
    for update in range(8):
        with torch.no_grad():
            model.weight.fill_(float(update))
            model.num_batches_tracked.fill_(update)
        average.update_parameters(model)
        kept = min(0.3, (1 + update) / (10 + update))
        expected = (
            float(update) if expected is None else kept * expected + (1 - kept) * float(update)
        )
        assert average.module.weight.item() == pytest.approx(expected)
        assert average.module.num_batches_tracked.item() == update
