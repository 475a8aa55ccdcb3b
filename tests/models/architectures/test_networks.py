"""kdrun's own networks: sizes, values against a second way of writing them, gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdrun.catalog.architectures import OWN_NETS as ROWS
from kdrun.features.layers import describe_layers
from kdrun.models.build import build_model
from kdrun.models.complexity import count_parameters

# Deep nets repeat the blocks of the shallow ones, so they run with the slow tests.
DEEP = {"resnet32", "resnet44", "resnet56", "resnet110", "resnet32x4", "wrn_40_1", "wrn_40_2"}
OWN_NETS = [pytest.param(arch, marks=pytest.mark.slow) if arch in DEEP else arch for arch in ROWS]

# At 100 classes and three channels. Blocks of a stage are alike, so 14 and 44 lie halfway.
PARAMETERS = {
    "resnet8": 83_892,
    "resnet20": 278_324,
    "resnet32": 472_756,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn_16_2": 703_284,
    "wrn_40_1": 569_780,
    "wrn_40_2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "resnet14": (83_892 + 278_324) // 2,
    "resnet44": (472_756 + 861_620) // 2,
}


@pytest.mark.parametrize(("arch", "expected"), PARAMETERS.items())
def test_parameter_count_is_the_published_one(arch, expected):
    with torch.device("meta"):
        assert count_parameters(build_model(arch, num_classes=100)) == expected


@pytest.mark.parametrize("size", [1, 8, 28, 64, 224])
@pytest.mark.parametrize("arch", ["vgg8", "vgg13", "convnet", "resnet20", "wrn_16_2"])
def test_convolutional_nets_take_images_of_any_size(arch, size):
    with torch.device("meta"):
        model = build_model(arch, num_classes=10).eval()
        assert model(torch.empty(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(1, 8), (1, 28), (3, 32)], ids=["8x8x1", "28x28x1", "32x32x3"])
@pytest.mark.parametrize("arch", OWN_NETS)
def test_every_parameter_of_every_own_net_gets_a_finite_gradient(arch, shape):
    channels, size = shape
    torch.manual_seed(0)
    model = build_model(arch, num_classes=10, in_channels=channels, image_size=size)
    logits = model(torch.randn(4, channels, size, size))
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    assert logits.shape == (4, 10)
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        # A bias before BatchNorm has no effect, so only rounding for a gradient.
        assert parameter.grad.any() or name.endswith("bias"), name


@pytest.mark.parametrize("arch", OWN_NETS)
def test_no_layer_of_an_own_net_is_overwritten_or_called_twice(arch):
    model = build_model(arch, num_classes=10)
    layers = describe_layers(model, torch.randn(2, 3, 32, 32))
    assert [layer.path for layer in layers if layer.overwritten or layer.calls != 1] == []


@pytest.mark.parametrize("arch", ["resnet20", "wrn_16_1", "vgg8"])
def test_stages_return_the_maps_that_hints_expect(arch):
    layers = describe_layers(build_model(arch, num_classes=10), torch.randn(1, 3, 32, 32))
    shapes = {layer.path: layer.shape for layer in layers}
    sides = [shapes[f"layer{number}"][-1] for number in (1, 2, 3)]
    assert sides == [32, 16, 8]
    assert shapes["fc"] == (10,)


def _norm(x, state, name):
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scale = state[f"{name}.weight"] / torch.sqrt(var + 1e-5)
    return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]


def _resnet(x, state, blocks):
    x = _norm(F.conv2d(x, state["conv1.weight"], padding=1), state, "bn1").clamp(min=0)
    for stage in (1, 2, 3):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            out = F.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1)
            out = _norm(out, state, f"{at}.bn1").clamp(min=0)
            out = _norm(F.conv2d(out, state[f"{at}.conv2.weight"], padding=1), state, f"{at}.bn2")
            if f"{at}.shortcut.0.weight" in state:
                x = F.conv2d(x, state[f"{at}.shortcut.0.weight"], stride=stride)
                x = _norm(x, state, f"{at}.shortcut.1")
            x = (out + x).clamp(min=0)
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def _wide_resnet(x, state, blocks):
    x = F.conv2d(x, state["conv1.weight"], padding=1)
    for stage in (1, 2, 3):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            active = _norm(x, state, f"{at}.bn1").clamp(min=0)
            out = F.conv2d(active, state[f"{at}.conv1.weight"], stride=stride, padding=1)
            out = _norm(out, state, f"{at}.bn2").clamp(min=0)
            out = F.conv2d(out, state[f"{at}.conv2.weight"], padding=1)
            if f"{at}.shortcut.weight" in state:
                x = F.conv2d(active, state[f"{at}.shortcut.weight"], stride=stride)
            x = out + x
    x = _norm(x, state, "bn").clamp(min=0)
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def _vgg(x, state, convolutions):
    for stage in (1, 2, 3, 4, 5):
        for index in range(convolutions):
            conv, norm = f"layer{stage}.{3 * index}", f"layer{stage}.{3 * index + 1}"
            x = F.conv2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], padding=1)
            x = _norm(x, state, norm).clamp(min=0)
        if stage <= 3:  # 32 -> 16 -> 8 -> 4, where the last two stages work
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize(
    ("arch", "reference", "repeats"),
    [
        ("resnet8", _resnet, 1),
        ("resnet14", _resnet, 2),
        ("resnet8x4", _resnet, 1),
        ("wrn_16_1", _wide_resnet, 2),
        ("wrn_16_2", _wide_resnet, 2),
        ("vgg8", _vgg, 1),
        ("vgg13", _vgg, 2),
    ],
)
def test_logits_match_the_network_written_out(arch, reference, repeats, randomize_batchnorm):
    torch.manual_seed(1)
    model = build_model(arch, num_classes=7).double().eval()
    randomize_batchnorm(model)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = reference(images, model.state_dict(), repeats)
    torch.testing.assert_close(model(images), expected)


def test_convnet_doubles_its_width_and_pools_down_to_two_pixels():
    model = build_model("convnet", num_classes=10, in_channels=1, image_size=8, width=4, depth=5)
    layers = describe_layers(model, torch.randn(1, 1, 8, 8))
    shapes = {layer.path: layer.shape for layer in layers}
    assert [shapes[f"layer{number}"] for number in range(1, 6)] == [
        (4, 8, 8),
        (8, 4, 4),
        (16, 2, 2),
        (32, 2, 2),
        (64, 2, 2),
    ]


def test_mlp_is_matrix_products_with_relu_between():
    model = build_model("mlp", num_classes=3, in_channels=2, image_size=4, width=6, depth=2)
    images = torch.randn(5, 2, 4, 4)
    x = images.reshape(5, 32)
    for layer in (model.layer1[0], model.layer2[0]):
        x = (x @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(model(images), x @ model.fc.weight.T + model.fc.bias)
    assert model.layer2[0].weight.shape == (6, 6)


def test_small_nets_default_to_the_documented_sizes():
    assert build_model("convnet", num_classes=2).layer1[0].out_channels == 32
    assert build_model("convnet", num_classes=2).layer3[0].out_channels == 128
    assert build_model("mlp", num_classes=2).layer1[0].out_features == 256


@pytest.mark.parametrize("arch", ["resnet20", "wrn_16_2", "vgg13", "convnet"])
def test_convolutions_start_at_the_kaiming_fan_out_deviation(arch):
    torch.manual_seed(0)
    for module in build_model(arch, num_classes=10).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 2000:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            expected = math.sqrt(2 / fan_out)
            assert module.weight.std().item() == pytest.approx(expected, rel=0.1)
            assert module.bias is None or not module.bias.any()
