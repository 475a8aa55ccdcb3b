import pytest
import torch
from torch import nn


@pytest.fixture
def randomize_batchnorm():
    """Give a model's BatchNorm layers statistics and scales that are not the identity."""

    def randomize(model):
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.5, 0.5)
                    module.running_mean.uniform_(-0.5, 0.5)
                    module.running_var.uniform_(0.5, 2.0)

    return randomize


@pytest.fixture
def unchecked_size(monkeypatch):
    """Build without the trial forward pass, in tests that are not about it, to save its time."""
    monkeypatch.setattr("kdrun.models.build.check_image_size", lambda *given: None)
