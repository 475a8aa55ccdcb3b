"""Hidden states of finished models, averaged over positions."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kdrun.device import autocast
from kdrun.evaluation.hidden_states import Opened, hidden_states


class Batches:
    """A test split of grey images with a large mean and small deviations."""

    def batches(self, size):
        generator = torch.Generator().manual_seed(0)
        images = 10 + 0.05 * torch.rand(64, 1, 8, 8, generator=generator)
        for part in images.split(size):
            yield SimpleNamespace(images=part)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_states_are_exact_in_a_run_of_any_precision(precision):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    device = torch.device("cpu")
    context = SimpleNamespace(
        data=SimpleNamespace(test=Batches()), autocast=lambda: autocast(device, precision)
    )
    found = hidden_states(Opened("net", network, lambda images: images), ["0", "2"], context)
    (batch,) = Batches().batches(64)
    with torch.no_grad():
        maps = network[0](batch.images)
    assert {state.dtype for state in found.values()} == {torch.float32}
    torch.testing.assert_close(found["0"], maps.mean(dim=(2, 3)))
    torch.testing.assert_close(found["2"], maps.relu().flatten(1))
