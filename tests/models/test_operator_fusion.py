"""Fused convolutions: the same function, and the model as it is wherever that is in doubt."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdrun.features.extractor import FeatureExtractor
from kdrun.models.batchnorm_folding import fold_batchnorm
from kdrun.models.build import build_model
from kdrun.models.operator_fusion import fuse


def folded(arch, image_size=32):
    torch.manual_seed(0)
    model = build_model(arch, num_classes=7, in_channels=3, image_size=image_size).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.1)
    return fold_batchnorm(model, images(2, image_size))


def images(count, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, size, size, generator=generator)


@torch.no_grad()
def given(model, dtype=torch.float32, count=5, size=32, watched=()):
    """What the fused copy and the model say of other images than the copy was checked on."""
    graph, _ = fuse(model, images(2, size), watched, dtype)
    others = images(count, size, seed=1).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        logits, *values = graph(others)
        seen = FeatureExtractor(model, hidden=watched)(others)
    return logits, values, seen


# Convolutions, with how many an addition and a ReLU are fused.
FUSED = {
    "resnet20": (21, 9, 19),
    "wrn_16_2": (16, 6, 7),
    "vgg8": (5, 0, 5),
    "convnet": (3, 0, 3),
    "resnet18": (20, 8, 17),
    "mobilenet_v2": (52, 10, 0),
    "googlenet": (57, 0, 57),
}


@pytest.mark.parametrize("arch", FUSED)
def test_the_copy_says_what_the_model_says(arch):
    model = folded(arch)
    _, texts = fuse(model, images(2), (), torch.float32)
    assert len(texts) == FUSED[arch][0]
    assert sum(" + add" in text for text in texts) == FUSED[arch][1]
    assert sum(" + relu" in text for text in texts) == FUSED[arch][2]
    logits, _, seen = given(model)
    torch.testing.assert_close(logits, seen.logits, rtol=1e-5, atol=1e-5)


def test_in_half_precision_it_is_as_near_to_the_truth_as_the_model():
    model = folded("resnet20")
    logits, _, seen = given(model, torch.bfloat16)
    with torch.no_grad():
        exact = model(images(5, seed=1))
    error, before = ((x.float() - exact).norm() for x in (logits, seen.logits))
    assert error < 1.2 * before


def test_watched_layers_give_what_they_gave():
    watched = ["layer1", "layer2.0.conv1", "layer3.1", "penultimate"]
    _, values, seen = given(folded("resnet20"), watched=watched)
    for value, path in zip(values, watched, strict=True):
        torch.testing.assert_close(value, seen.hidden[path], rtol=1e-5, atol=1e-5)


def test_a_watched_convolution_is_fused_with_nothing():
    _, texts = fuse(folded("resnet20"), images(2), ["layer2.0.conv1"], torch.float32)
    assert "layer2.0.conv1" in texts
    assert "layer2.1.conv1 + relu" in texts


@pytest.mark.parametrize("arch", ["mlp", "vit_b_16", "efficientnet_b0"])
def test_a_model_without_anything_to_fuse_stays_as_it_is(arch):
    size = 64 if arch == "vit_b_16" else 32
    assert fuse(folded(arch, size), images(2, size), (), torch.float32) is None


class Net(nn.Module):
    """A convolution in a network whose forward pass is given."""

    def __init__(self, forward):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 4)
        self.way = forward

    def forward(self, x):
        return self.head(self.way(self, x).mean(dim=(2, 3)))


def ways():
    def depends_on_values(net, x):
        y = net.conv(x)
        return F.relu(y) if y.sum() > 0 else y

    def input_overwritten(net, x):
        """Moved behind the in-place ReLU, the convolution would see other values."""
        x = x * 1.0
        y = net.conv(x)
        return torch.add(y, torch.relu_(x))

    def called_twice(net, x):
        return F.relu(net.conv(F.relu(net.conv(x))))

    def twice_itself(net, x):
        y = net.conv(x)
        return F.relu(y + y)

    def plus_number(net, x):
        return F.relu(net.conv(x) + 1.0)

    def used_elsewhere(net, x):
        y = net.conv(x)
        return F.relu(y) + y

    return {
        f.__name__: f
        for f in (
            depends_on_values,
            input_overwritten,
            called_twice,
            twice_itself,
            plus_number,
            used_elsewhere,
        )
    }


@pytest.mark.parametrize("way", ways())
def test_nothing_is_fused_that_would_change_the_result(way):
    torch.manual_seed(0)
    net = Net(ways()[way]).eval()
    found = fuse(net, images(2), (), torch.float32)
    if found is not None:
        others = images(5, seed=1)
        with torch.no_grad():
            torch.testing.assert_close(found[0](others)[0], net(others), rtol=1e-5, atol=1e-5)
    assert (found is None) == (way != "called_twice")


def test_without_torchs_operations_the_model_stays_as_it_is(monkeypatch):
    monkeypatch.setattr("kdrun.models.operator_fusion.Convolution.forward", None)
    assert fuse(folded("resnet8"), images(2), (), torch.float32) is None


def test_a_type_that_the_processor_cannot_pack_costs_the_fusion_only(monkeypatch):
    def refused(self, dtype):
        raise RuntimeError("bf16 path needs the cpu support avx512bw")

    monkeypatch.setattr("kdrun.models.operator_fusion.Convolution.pack", refused)
    assert fuse(folded("resnet8"), images(2), (), torch.bfloat16) is None


def test_the_model_is_not_changed():
    model = folded("resnet8")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert fuse(model, images(2), ["layer1"], torch.bfloat16) is not None
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
