import torch
import torchvision
from torch import nn

from kdrun.features.layers import LayerInfo, describe_layers


def resnet18_layers():
    model = torchvision.models.resnet18(num_classes=10)
    return {layer.path: layer for layer in describe_layers(model, torch.randn(2, 3, 64, 64))}


def test_outputs_overwritten_by_an_in_place_relu_are_found():
    layers = resnet18_layers()
    assert layers["bn1"].overwritten
    assert layers["layer1.0.bn1"].overwritten
    assert layers["layer1.0.bn2"].overwritten
    assert not layers["conv1"].overwritten
    assert not layers["layer1.0"].overwritten
    assert not layers["layer1.0.conv2"].overwritten
    # Only where a block has a projection is its output added to in place.
    assert not layers["layer2.0.downsample"].overwritten


def test_a_shared_relu_is_seen_to_run_twice():
    layers = resnet18_layers()
    assert layers["layer1.0.relu"].calls == 2
    assert layers["layer1.0"].calls == layers["fc"].calls == 1


def test_layers_come_in_module_order_with_kind_and_shape():
    layers = list(resnet18_layers().values())
    assert layers[0] == LayerInfo("conv1", "Conv2d", (64, 32, 32), 1, False)
    assert layers[-1] == LayerInfo("fc", "Linear", (10,), 1, False)


class Odd(nn.Module):
    """Returns a pair, leaves one layer out, and overwrites a view of another's output."""

    def __init__(self):
        super().__init__()
        self.pair = nn.LSTM(4, 3)
        self.unused = nn.Linear(3, 3)
        self.viewed = nn.Linear(3, 3)

    def forward(self, x):
        hidden = self.viewed(self.pair(x)[0])
        hidden.view(-1).zero_()
        return hidden


def test_pairs_have_no_shape_unused_layers_no_calls_and_views_count():
    layers = {layer.path: layer for layer in describe_layers(Odd(), torch.randn(2, 4))}
    assert layers["pair"].shape is None
    assert layers["pair"].calls == 1
    assert layers["unused"] == LayerInfo("unused", "Linear", None, 0, False)
    assert layers["viewed"].overwritten


def test_the_model_is_left_as_it_was():
    model = torchvision.models.resnet18(num_classes=10).train()
    model.bn1.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    describe_layers(model, torch.randn(2, 3, 64, 64))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert not model.bn1.training
    assert not any(module._forward_hooks for module in model.modules())
