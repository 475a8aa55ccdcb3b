import pytest
import torch
import torchvision
from torch import nn

from kdrun.models.build import build_model
from kdrun.models.complexity import count_macs, count_parameters

pytestmark = pytest.mark.usefixtures("unchecked_size")


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet152", 60_192_808),
    ],
)
def test_parameters_at_a_thousand_classes(arch, expected):
    with torch.device("meta"):
        assert count_parameters(build_model(arch, num_classes=1000, image_size=224)) == expected


def test_shared_and_frozen_parameters_count_once():
    linear = nn.Linear(3, 4)
    linear.weight.requires_grad_(False)
    other = nn.Linear(3, 4)
    other.weight = linear.weight
    assert count_parameters(nn.Sequential(linear, other, linear)) == 3 * 4 + 4 + 4


def test_macs_of_a_network_counted_by_hand():
    def build():
        return nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 25, 10)
        )

    assert count_macs(build, (4, 5, 5)) == 6 * 25 * (4 // 2) * 9 + 150 * 10


@pytest.mark.parametrize(
    "arch",
    [
        "resnet18",
        "mobilenet_v2",
        "densenet121",
        "regnet_y_400mf",
        "vit_b_16",
        "vit_h_14",
        "swin_t",
        "swin_v2_t",
        "maxvit_t",
    ],
)
def test_macs_are_those_torchvision_publishes(arch):
    weights = torchvision.models.get_model_weights(arch)["DEFAULT"]
    size = weights.transforms().crop_size[0]
    macs = count_macs(lambda: build_model(arch, num_classes=1000, image_size=size), (3, size, size))
    assert macs / 1e9 == pytest.approx(weights.meta["_ops"], abs=6e-4)
