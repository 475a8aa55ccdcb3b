"""Architectures of one design in several sizes: where a teacher's assistants come from."""

from kdrun.models.names import TORCHVISION

FAMILIES: dict[str, tuple[str, ...]] = {
    "CIFAR ResNet": (
        *("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    ),
    "CIFAR ResNet, four times wider": ("resnet8x4", "resnet32x4"),
    "CIFAR Wide ResNet": ("wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2"),
    "CIFAR VGG": ("vgg8", "vgg13"),
    "ConvNeXt": ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    "DenseNet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "EfficientNet": tuple(f"efficientnet_b{n}" for n in range(8)),
    "EfficientNetV2": ("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
    "MNASNet": ("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    "MobileNetV3": ("mobilenet_v3_small", "mobilenet_v3_large"),
    "RegNetX": tuple(name for name in TORCHVISION if name.startswith("regnet_x_")),
    "RegNetY": tuple(name for name in TORCHVISION if name.startswith("regnet_y_")),
    "ResNet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "ResNeXt": ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    "ShuffleNetV2": tuple(name for name in TORCHVISION if name.startswith("shufflenet_")),
    "SqueezeNet": ("squeezenet1_0", "squeezenet1_1"),
    "Swin": ("swin_t", "swin_s", "swin_b"),
    "SwinV2": ("swin_v2_t", "swin_v2_s", "swin_v2_b"),
    "VGG": ("vgg11", "vgg16", "vgg19"),
    "VGG with BatchNorm": ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    "ViT": ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
    "Wide ResNet": ("wide_resnet50_2", "wide_resnet101_2"),
}

ALONE = ("alexnet", "convnet", "googlenet", "inception_v3", "maxvit_t", "mlp", "mobilenet_v2")
"""Architectures of one size, or of any that is asked for."""


def family_of(arch: str) -> tuple[str, ...]:
    """The others of the architecture's family; none of one that is alone or unknown."""
    members = next((names for names in FAMILIES.values() if arch in names), ())
    return tuple(name for name in members if name != arch)
