"""Classifiers of torchvision by family. Imports no torch."""

TORCHVISION_FAMILIES: dict[str, tuple[str, ...]] = {
    "ConvNeXt": ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    "DenseNet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "EfficientNet": (
        "efficientnet_b0",
        "efficientnet_b1",
        "efficientnet_b2",
        "efficientnet_b3",
        "efficientnet_b4",
        "efficientnet_b5",
        "efficientnet_b6",
        "efficientnet_b7",
    ),
    "EfficientNetV2": ("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
    "MNASNet": ("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    "MobileNetV3": ("mobilenet_v3_small", "mobilenet_v3_large"),
    "RegNetX": (
        "regnet_x_16gf",
        "regnet_x_1_6gf",
        "regnet_x_32gf",
        "regnet_x_3_2gf",
        "regnet_x_400mf",
        "regnet_x_800mf",
        "regnet_x_8gf",
    ),
    "RegNetY": (
        "regnet_y_128gf",
        "regnet_y_16gf",
        "regnet_y_1_6gf",
        "regnet_y_32gf",
        "regnet_y_3_2gf",
        "regnet_y_400mf",
        "regnet_y_800mf",
        "regnet_y_8gf",
    ),
    "ResNet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "ResNeXt": ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    "ShuffleNetV2": (
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x1_0",
        "shufflenet_v2_x1_5",
        "shufflenet_v2_x2_0",
    ),
    "SqueezeNet": ("squeezenet1_0", "squeezenet1_1"),
    "Swin": ("swin_t", "swin_s", "swin_b"),
    "SwinV2": ("swin_v2_t", "swin_v2_s", "swin_v2_b"),
    "VGG": ("vgg11", "vgg16", "vgg19"),
    "VGG with BatchNorm": ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    "ViT": ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
    "Wide ResNet": ("wide_resnet50_2", "wide_resnet101_2"),
}

TORCHVISION_ALONE = ("alexnet", "googlenet", "inception_v3", "maxvit_t", "mobilenet_v2")
"""Networks without a family."""
