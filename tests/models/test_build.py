import re
import sys

import pytest
import torch
import torchvision
from torch import nn

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.errors import ConfigError, WeightsError
from kdrun.models.build import build_model

# Sizes for those that cannot take 32×32 images.
FITTING_SIZES = {"alexnet": 64, "inception_v3": 128, "maxvit_t": 224, "vit_h_14": 28}

# One network of each family and all quick ones; the larger variants run with the slow tests.
LARGER = re.compile(
    r"(convnext|swin|swin_v2)_[bsl]|densenet1[67]|densenet201|efficientnet_(b[2-7]|v2_[ml])"
    r"|mnasnet1|regnet_[xy]_(?!400mf)|(wide_)?res(net|next)(101|152|110)|vit_l|wrn_40|resnet(44|56)"
)


@pytest.mark.usefixtures("unchecked_size")
@pytest.mark.parametrize(
    "arch",
    [
        pytest.param(arch, marks=pytest.mark.slow) if LARGER.match(arch) else arch
        for arch in ARCHITECTURES
    ],
)
def test_every_architecture_classifies_grey_images_on_the_meta_device(arch):
    size = FITTING_SIZES.get(arch, 32)
    with torch.device("meta"):
        model = build_model(arch, num_classes=10, in_channels=1, image_size=size).eval()
        logits = model(torch.empty(2, 1, size, size))
    assert logits.shape == (2, 10)
    assert all(tensor.is_meta for tensor in model.state_dict().values())


@pytest.mark.parametrize("arch", ["resnet18", "densenet121", "googlenet", "vit_b_32"])
def test_large_colour_images_get_torchvision_s_own_network(arch):
    with torch.device("meta"):
        model = build_model(arch, num_classes=1000, image_size=224)
        options = {"init_weights": False, "aux_logits": False} if arch == "googlenet" else {}
        original = torchvision.models.get_model(arch, **options)
    assert str(model) == str(original)


def test_bare_vgg13_is_the_cifar_network_and_vgg13_bn_torchvision_s():
    with torch.device("meta"):
        assert type(build_model("vgg13", num_classes=10)).__name__ == "CifarVGG"
        assert isinstance(build_model("vgg13_bn", num_classes=10), torchvision.models.VGG)


@pytest.mark.parametrize("arch", ["resnet8", "mlp", "resnet18", "mobilenet_v2", "regnet_y_400mf"])
def test_same_seed_builds_the_same_weights(arch):
    torch.manual_seed(3)
    first = build_model(arch, num_classes=10).state_dict()
    torch.manual_seed(3)
    second = build_model(arch, num_classes=10).state_dict()
    other = build_model(arch, num_classes=10).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_checking_the_image_size_draws_no_random_numbers():
    torch.manual_seed(3)
    expected = torchvision.models.resnet18(num_classes=10, zero_init_residual=True).state_dict()
    torch.manual_seed(3)
    built = build_model("resnet18", num_classes=10, image_size=224).state_dict()
    assert all(torch.equal(expected[name], built[name]) for name in expected)


@pytest.mark.parametrize("arch", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_the_blocks_of_a_torchvision_resnet_start_as_the_identity(arch):
    model = build_model(arch, num_classes=10, image_size=32).eval()
    block, images = model.layer1[1], torch.rand(2, model.layer1[1].conv1.in_channels, 4, 4)
    torch.testing.assert_close(block(images), images)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arch": "resnet5"}, "unknown model 'resnet5'; did you mean 'resnet5"),
        ({"arch": "xyz"}, r"unknown model 'xyz' \('kdrun --help' lists all\)"),
        ({"arch": "resnet18", "library": "keras"}, "unknown model library 'keras'"),
        ({"arch": "resnet18", "stem": "tiny"}, "unknown stem 'tiny': auto, imagenet, small"),
        ({"arch": "resnet18", "width": 8}, "resnet18 has no width to set: only convnet and mlp"),
        ({"arch": "wrn_16_2", "width": 8, "depth": 2}, "wrn_16_2 has no width or depth to set"),
        (
            {"arch": "alexnet", "image_size": 8},
            "^alexnet needs larger images than 8x8: set dataset.image_size=64$",
        ),
        ({"arch": "inception_v3", "image_size": 32}, "set dataset.image_size=128"),
        ({"arch": "convnext_tiny", "image_size": 16}, "set dataset.image_size=32"),
        (
            {"arch": "maxvit_t", "image_size": 256},
            "maxvit_t does not take images of 256x256: set dataset.image_size=224",
        ),
        (
            {"arch": "vit_b_16", "image_size": 28},
            "16x16 patches, which do not divide dataset.image_size=28: set it to 16 or 32",
        ),
        ({"arch": "vit_b_32", "image_size": 8}, "set it to 32$"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_what_cannot_be_built_is_one_line_with_the_remedy(given, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_model(given.pop("arch"), num_classes=10, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arch", ["alexnet", "googlenet", "squeezenet1_1"])
def test_the_size_that_an_error_names_works(arch):
    with torch.device("meta"):
        try:
            build_model(arch, num_classes=10, image_size=8)
        except ConfigError as error:
            size = int(str(error).rsplit("=", 1)[1])
            build_model(arch, num_classes=10, image_size=size)


@pytest.mark.parametrize("arch", ["resnet20", "vgg13", "mlp"])
def test_own_nets_have_no_published_weights(arch):
    with pytest.raises(WeightsError, match=f"{arch} has no published weights"):
        build_model(arch, num_classes=10, weights="DEFAULT")


def test_missing_timm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'kdrun\[timm\]'"):
        build_model("resnet18", num_classes=10, library="timm")


@pytest.mark.parametrize(
    "arch", ["mobilenetv3_small_050", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]
)
def test_timm_models_fit_the_data_set(arch):
    pytest.importorskip("timm")
    with torch.device("meta"):
        model = build_model(arch, num_classes=10, in_channels=1, image_size=64, library="timm")
        assert model(torch.empty(2, 1, 64, 64)).shape == (2, 10)


def test_unknown_timm_names_get_a_near_miss():
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match="timm has no model 'resnet18x'; did you mean 'resnet18"):
        build_model("resnet18x", num_classes=10, library="timm")
    with pytest.raises(WeightsError, match="no weights 'a1_in2k'; did you mean 'a1_in1k'"):
        build_model("resnet18", num_classes=10, library="timm", weights="a1_in2k")


def test_timm_weights_without_a_network_are_one_line(monkeypatch):
    timm = pytest.importorskip("timm")
    create = timm.create_model

    def offline(name: str, *, pretrained: bool, **options: int) -> nn.Module:
        if pretrained:
            raise OSError("no route\nto the hub")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"'DEFAULT' of timm's resnet18 \(no route\): download"):
        build_model("resnet18", num_classes=10, library="timm", weights="DEFAULT")
