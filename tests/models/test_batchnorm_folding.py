import copy

import pytest
import torch
from torch import nn

from kdrun.models.batchnorm_folding import fold_batchnorm
from kdrun.models.build import build_model


def batchnorms(model):
    return [path for path, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]


def outputs_of(model, paths, images):
    seen = {}
    for path in paths:
        model.get_submodule(path).register_forward_hook(
            lambda module, inputs, output, path=path: seen.__setitem__(path, output.clone())
        )
    with torch.no_grad():
        model(images)
    return seen


# How many BatchNorms stay: those that follow a sum, a concatenation or an activation.
REMAINING = {
    "resnet20": 0,
    "vgg8": 0,
    "convnet": 0,
    "mlp": 0,
    "wrn_16_2": 6 + 1 - 1,
    "wrn_16_1": 6 + 1,
    "resnet18": 0,
    "mobilenet_v2": 0,
    "shufflenet_v2_x0_5": 0,
    "googlenet": 0,
    "densenet121": 58 + 3 + 1,
}


@pytest.mark.parametrize(("arch", "remaining"), REMAINING.items())
def test_folded_model_gives_the_same_logits(arch, remaining, randomize_batchnorm):
    torch.manual_seed(0)
    model = build_model(arch, num_classes=10).eval()
    randomize_batchnorm(model)
    folded = fold_batchnorm(model, torch.randn(2, 3, 32, 32))
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
        difference = (folded(images) - expected).abs().max()
    assert difference <= 1e-5 * expected.abs().max()
    assert len(batchnorms(folded)) == remaining
    assert [p for p, _ in folded.named_modules()] == [p for p, _ in model.named_modules()]


def test_given_model_is_not_changed_and_the_copy_is_frozen(randomize_batchnorm):
    model = build_model("resnet18", num_classes=10).train()
    randomize_batchnorm(model)
    model.layer1.eval()
    before = copy.deepcopy(model.state_dict())
    folded = fold_batchnorm(model, torch.randn(2, 3, 32, 32))
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.training
    assert model.layer2.training
    assert not model.layer1[0].bn1.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in folded.modules())


@pytest.mark.parametrize(
    ("arch", "paths"),
    [
        ("resnet20", ["bn1", "layer1.0.bn1", "layer1.0.bn2", "layer2.0.shortcut", "layer3"]),
        ("wrn_16_1", ["conv1", "layer1.0.bn2", "layer1", "layer3.1.relu1"]),
        ("mobilenet_v2", ["features.0.1", "features.3", "features.3.conv.3", "features.18"]),
    ],
)
def test_hooks_on_containers_and_folded_batchnorms_see_the_same(arch, paths, randomize_batchnorm):
    torch.manual_seed(0)
    model = build_model(arch, num_classes=10).eval()
    randomize_batchnorm(model)
    images = torch.randn(2, 3, 32, 32)
    folded = fold_batchnorm(model, images)
    expected, found = outputs_of(model, paths, images), outputs_of(folded, paths, images)
    for path in paths:
        torch.testing.assert_close(found[path], expected[path], rtol=1e-4, atol=1e-4)


def test_a_kept_convolution_keeps_its_raw_output(randomize_batchnorm):
    torch.manual_seed(0)
    model = build_model("resnet20", num_classes=10).eval()
    randomize_batchnorm(model)
    images = torch.randn(2, 3, 32, 32)
    folded = fold_batchnorm(model, images, keep=["layer2.0.conv1", "layer2.0.shortcut"])
    assert batchnorms(folded) == ["layer2.0.bn1"]
    expected = outputs_of(model, ["layer2.0.conv1"], images)["layer2.0.conv1"]
    found = outputs_of(folded, ["layer2.0.conv1"], images)["layer2.0.conv1"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


class Small(nn.Module):
    """A convolution and a BatchNorm put together in the way given, then a pair that folds."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.stem = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
        self.bn = nn.BatchNorm2d(3)
        self.other = nn.BatchNorm2d(3)
        self.sound = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5))

    def forward(self, x):
        return self.sound(self.way(self, x)).mean(dim=(2, 3))


def plain(net, x):
    return net.bn(net.stem(x))


def read_again_after(net, x):
    hidden = net.stem(x)
    return net.bn(hidden) + hidden


def read_as_a_view(net, x):
    hidden = net.stem(x)
    return net.bn(hidden) * hidden.flatten(2).mean(dim=2)[..., None, None]


def overwritten_between(net, x):
    return net.bn(net.stem(x).mul_(2))


def used_by_two_batchnorms(net, x):
    hidden = net.stem(x)
    return net.bn(hidden) + net.other(hidden)


def convolution_called_twice(net, x):
    return net.bn(net.stem(net.stem(x)))


def batchnorm_called_twice(net, x):
    return net.bn(net.bn(net.stem(x)))


def batchnorm_elsewhere(net, x):
    return net.stem(net.bn(x))


@pytest.mark.parametrize(
    "way",
    [
        read_again_after,
        read_as_a_view,
        overwritten_between,
        used_by_two_batchnorms,
        convolution_called_twice,
        batchnorm_called_twice,
        batchnorm_elsewhere,
    ],
)
def test_only_a_batchnorm_that_alone_and_directly_follows_is_folded(way, randomize_batchnorm):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 6, 6)
    model = Small(way).eval()
    randomize_batchnorm(model)
    folded = fold_batchnorm(model, images)
    assert batchnorms(folded) == ["bn", "other"]
    assert batchnorms(fold_batchnorm(Small(plain), images)) == ["other"]
    torch.testing.assert_close(folded(images), model(images))


def test_a_kept_container_keeps_the_raw_output_of_its_last_convolution():
    images = torch.randn(4, 3, 6, 6)
    assert batchnorms(fold_batchnorm(Small(plain), images, keep=["stem"])) == ["bn", "other"]


def test_batchnorm_without_running_statistics_stays():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    assert len(batchnorms(fold_batchnorm(model, torch.randn(2, 3, 6, 6)))) == 1


class Sharper(nn.Conv2d):
    """A convolution that does more than its weights say."""

    def forward(self, x):
        return 2 * super().forward(x) + 1


def test_subclasses_that_compute_something_else_stay():
    model = nn.Sequential(Sharper(3, 4, 3), nn.BatchNorm2d(4))
    images = torch.randn(2, 3, 6, 6)
    folded = fold_batchnorm(model, images)
    assert len(batchnorms(folded)) == 1
    torch.testing.assert_close(folded(images), model.eval()(images))


class Untrue(nn.Module):
    """Reads its BatchNorm's mean behind the module's back."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        mean = getattr(self.bn, "running_mean", torch.full((4,), 7.0))
        return (self.bn(self.conv(x)) + mean[:, None, None]).mean(dim=(2, 3))


def test_a_model_that_folding_would_change_comes_back_unfolded():
    model, images = Untrue(), torch.randn(2, 3, 6, 6)
    folded = fold_batchnorm(model, images)
    assert batchnorms(folded) == ["bn"]
    torch.testing.assert_close(folded(images), model.eval()(images))


def test_a_shared_weight_is_folded_in_one_place_only():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
    second.weight = first.weight
    batchnorm = nn.BatchNorm2d(3)
    nn.init.uniform_(batchnorm.weight, 2, 3)
    model = nn.Sequential(first, batchnorm, second).eval()
    images = torch.randn(2, 3, 8, 8)
    folded = fold_batchnorm(model, images)
    assert batchnorms(folded) == []
    torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-4)
