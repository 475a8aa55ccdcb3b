import pytest
import torch
from torch import nn

from kdrun.features.layers import describe_layers
from kdrun.models.build import build_model

pytestmark = pytest.mark.usefixtures("unchecked_size")

FAMILIES = [
    "resnet18",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "googlenet",
    "shufflenet_v2_x0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet0_5",
    "efficientnet_b0",
    "regnet_y_400mf",
]

# The first layer after the stem, and where a pooling was taken out.
AFTER_STEM = {
    "resnet18": ("layer1", "maxpool"),
    "densenet121": ("features.denseblock1.denselayer1.conv1", "features.pool0"),
    "googlenet": ("conv2", "maxpool1"),
    "shufflenet_v2_x0_5": ("conv1", "maxpool"),
}


def first_conv(model):
    return next(module for module in model.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize("arch", FAMILIES)
def test_small_images_keep_their_resolution_in_the_first_convolution(arch):
    with torch.device("meta"):
        conv = first_conv(build_model(arch, num_classes=10, image_size=64))
        assert conv(torch.empty(1, 3, 64, 64)).shape[-2:] == (64, 64)
    assert conv.kernel_size == (3, 3)


@pytest.mark.parametrize("arch", FAMILIES)
def test_images_above_64_pixels_keep_the_published_stem(arch):
    with torch.device("meta"):
        auto = build_model(arch, num_classes=10, image_size=65)
        published = build_model(arch, num_classes=10, image_size=65, stem="imagenet")
    assert str(auto) == str(published)
    assert first_conv(auto).stride == (2, 2)


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v2"])
def test_the_stem_can_be_chosen_against_the_image_size(arch):
    with torch.device("meta"):
        small = build_model(arch, num_classes=10, image_size=128, stem="small")
        published = build_model(arch, num_classes=10, image_size=32, stem="imagenet")
    assert first_conv(small).stride == (1, 1)
    assert first_conv(published).stride == (2, 2)


@pytest.mark.parametrize("arch", AFTER_STEM)
def test_the_pooling_of_a_small_stem_is_gone(arch):
    layer, pool = AFTER_STEM[arch]
    model = build_model(arch, num_classes=10)
    shapes = {info.path: info.shape for info in describe_layers(model, torch.randn(1, 3, 32, 32))}
    assert isinstance(model.get_submodule(pool), nn.Identity)
    assert shapes[layer][-1] == 32


def test_resnet18_shrinks_small_images_eightfold_not_more():
    layers = describe_layers(build_model("resnet18", num_classes=10), torch.randn(1, 3, 32, 32))
    shapes = {layer.path: layer.shape for layer in layers}
    assert [shapes[f"layer{number}"][-1] for number in (1, 2, 3, 4)] == [32, 16, 8, 4]


@pytest.mark.parametrize("arch", ["vgg16_bn", "squeezenet1_1", "swin_t", "vit_b_32"])
def test_families_without_such_a_stem_are_untouched(arch):
    with torch.device("meta"):
        small = build_model(arch, num_classes=10, image_size=64, stem="small")
        published = build_model(arch, num_classes=10, image_size=64, stem="imagenet")
    assert str(small) == str(published)


@pytest.mark.parametrize("arch", ["resnet18", "googlenet", "vit_b_32"])
@pytest.mark.parametrize("channels", [1, 4])
def test_other_channel_counts_change_the_first_kernel_only(arch, channels):
    with torch.device("meta"):
        other = build_model(arch, num_classes=10, in_channels=channels, image_size=96)
        colour = build_model(arch, num_classes=10, image_size=96)
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    changed = [name for name, t in colour.state_dict().items() if t.shape != shapes[name]]
    assert len(changed) == 1
    assert shapes[changed[0]][1] == channels
