"""Layers are compared at the same depth and, where chosen automatically, where maps change size."""

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from kdrun.errors import ConfigError
from kdrun.features.layer_pairs import match, parse_pairs, stages
from kdrun.features.layers import LayerInfo, describe_layers
from kdrun.models.build import build_model


def layers_of(arch, image_size=32, **options):
    model = build_model(arch, num_classes=10, image_size=image_size, **options)
    return describe_layers(model, torch.zeros(1, 3, image_size, image_size))


THREE = "layer1 layer2 layer3"
FOUR = f"{THREE} layer4"
VGG = f"{THREE} layer5"
DENSENET = " ".join(f"features.denseblock{number}" for number in range(1, 5))


@pytest.mark.parametrize(
    ("arch", "image_size", "expected"),
    [
        ("resnet8", 32, THREE),
        ("resnet8", 8, THREE),
        ("resnet20", 32, THREE),
        ("resnet8x4", 32, THREE),
        ("wrn_16_2", 32, THREE),
        ("convnet", 32, THREE),
        ("vgg8", 32, VGG),
        ("vgg13", 32, VGG),
        ("vgg8", 8, "layer1 layer5"),
        ("mlp", 32, ""),
        ("resnet18", 32, FOUR),
        ("resnet18", 64, FOUR),
        ("resnet50", 32, FOUR),
        ("densenet121", 32, DENSENET),
        ("mobilenet_v2", 32, "features.1 features.3 features.6 features.13 features"),
        ("shufflenet_v2_x0_5", 32, "conv1 stage2 stage3 conv5"),
        ("googlenet", 32, "conv3 inception3b inception4e inception5b"),
        ("efficientnet_b0", 32, "features.1 features.2 features.3 features.5 features"),
        # 1×1 maps at the end are left out.
        ("convnext_tiny", 32, "features.1 features.3 features.5"),
        ("squeezenet1_1", 64, "features.4 features.7 features"),
        # Without containers, the last layer before each pooling; not the 7×7 made for the head.
        ("vgg11", 32, "features.1 features.4 features.9 features.14 features.19"),
    ],
)
def test_cnns_are_compared_where_their_maps_change_size(arch, image_size, expected):
    layers = layers_of(arch, image_size)
    assert stages(layers) == expected.split()
    shapes = {layer.path: layer.shape for layer in layers}
    sizes = [shapes[path][1] for path in stages(layers)]
    assert sizes == sorted(set(sizes), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["resnet110", "resnet56", "resnet32x4", "wrn_40_2"])
def test_deeper_nets_of_a_family_have_the_same_stages(arch):
    assert stages(layers_of(arch)) == THREE.split()


def test_transformers_are_compared_at_their_blocks():
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    layers = describe_layers(model, torch.zeros(1, 3, 32, 32))
    assert stages(layers) == [f"encoder.layers.encoder_layer_{number}" for number in range(3)]


def test_the_published_transformer_has_twelve_blocks():
    with torch.device("meta"):
        model = torchvision.models.vit_b_16()
    layers = describe_layers(model, torch.zeros(1, 3, 224, 224, device="meta"))
    assert stages(layers) == [f"encoder.layers.encoder_layer_{number}" for number in range(12)]


def test_timms_transformers_are_compared_at_their_blocks():
    pytest.importorskip("timm")
    layers = layers_of("vit_tiny_patch16_224", 224, library="timm")
    assert stages(layers) == [f"blocks.{number}" for number in range(12)]


def test_swin_whose_channels_come_last_has_no_stages():
    model = torchvision.models.SwinTransformer([4, 4], 12, [1, 1], [2, 2], [7, 7])
    assert stages(describe_layers(model, torch.zeros(1, 3, 64, 64))) == []


def layer(path, shape, kind="Block", calls=1, overwritten=False):
    return LayerInfo(path, kind, shape, calls, overwritten)


def test_layers_that_cannot_be_captured_are_passed_over():
    layers = [
        layer("a", (4, 8, 8)),
        layer("a.conv", (4, 8, 8)),
        layer("twice", (4, 8, 8), calls=2),
        layer("twice.conv", (4, 8, 8)),
        layer("b", (4, 4, 4)),
        layer("b.conv", (4, 4, 4)),
        layer("overwritten", (4, 4, 4), overwritten=True),
        layer("overwritten.conv", (4, 4, 4)),
        layer("pair", None),
        layer("pair.conv", (4, 2, 2)),
    ]
    assert stages(layers) == ["a", "b"]


def test_maps_of_one_position_count_where_there_are_no_others():
    layers = [layer("a", (4, 1, 1)), layer("a.conv", (4, 1, 1)), layer("b", (8, 1, 1))]
    assert stages(layers) == ["b"]
    assert stages([*layers, layer("c", (4, 2, 2)), layer("c.conv", (4, 2, 2))]) == ["c.conv"]


def test_a_model_without_layers_has_no_stages():
    assert stages([]) == []


def test_automatic_pairs_of_unequal_depths_match_the_last_with_the_last():
    pairs = match(stages(layers_of("resnet8")), stages(layers_of("resnet18")))
    assert pairs == [("layer1", "layer1"), ("layer2", "layer3"), ("layer3", "layer4")]
    blocks = [f"blocks.{number}" for number in range(12)]
    assert match(["a", "b", "c"], blocks) == [
        ("a", "blocks.3"), ("b", "blocks.7"), ("c", "blocks.11"),
    ]  # fmt: skip


@given(st.integers(1, 20), st.integers(1, 20))
def test_every_student_layer_has_one_partner_in_order(num_student, num_teacher):
    student, teacher = range(num_student), range(num_teacher)
    pairs = match([str(n) for n in student], [str(n) for n in teacher])
    assert [int(name) for name, _ in pairs] == list(student)
    partners = [int(name) for _, name in pairs]
    assert partners == sorted(partners)
    assert partners[-1] == num_teacher - 1
    if num_student == num_teacher:
        assert partners == list(student)


def test_matching_with_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        match([], ["layer1"])


def test_pairs_are_named_with_a_colon_or_alike():
    assert parse_pairs(["layer2:layer3", "layer1.0", "a : b"]) == [
        ("layer2", "layer3"), ("layer1.0", "layer1.0"), ("a", "b"),
    ]  # fmt: skip
    assert parse_pairs([]) == []


@pytest.mark.parametrize("name", ["", " ", ":", "layer1:", ":layer1", "a:b:c", "a::b"])
def test_malformed_pairs_are_refused(name):
    with pytest.raises(ConfigError, match=f"'STUDENT:TEACHER'.*got '{name}'"):
        parse_pairs(["layer1", name])
