"""Architectures by name, and their families. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kdrun.catalog.rows import load_code
from kdrun.catalog.torchvision_nets import TORCHVISION_ALONE, TORCHVISION_FAMILIES


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A named network.

    Attributes:
        family: name of the networks that differ only in size; None without such a family.
        code: `package.module:Class`, imported for building; None: torchvision's of that name.
        arguments: fixed arguments of the code, in addition to num_classes and in_channels.
        sizes: the free ones of `width` and `depth`.
        image_size: whether the code takes the size of the images.
    """

    family: str | None = None
    code: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[str, ...] = ()
    image_size: bool = False

    def load(self) -> Any:
        """Import the code and return the class or builder."""
        assert self.code is not None
        return load_code(self.code)


_NETS = "kdrun.models.architectures"
_FOUR_TIMES_WIDER = (32, 64, 128, 256)


def _resnet(depth: int) -> Architecture:
    code = f"{_NETS}.resnet:CifarResNet"
    return Architecture(family="CIFAR ResNet", code=code, arguments={"depth": depth})


def _wider_resnet(depth: int) -> Architecture:
    return Architecture(
        family="CIFAR ResNet, four times wider",
        code=f"{_NETS}.resnet:CifarResNet",
        arguments={"depth": depth, "widths": _FOUR_TIMES_WIDER},
    )


def _wide_resnet(depth: int, widen: int) -> Architecture:
    return Architecture(
        family="CIFAR Wide ResNet",
        code=f"{_NETS}.wide_resnet:WideResNet",
        arguments={"depth": depth, "widen": widen},
    )


def _vgg(convolutions: int) -> Architecture:
    code = f"{_NETS}.vgg:CifarVGG"
    return Architecture(family="CIFAR VGG", code=code, arguments={"convolutions": convolutions})


# The field's networks for 32×32 images, and small ones. `vgg13` is the CIFAR one (9.46 M parameters
# at 100 classes), which shadows torchvision's; torchvision's is available as `vgg13_bn`.
OWN_NETS: dict[str, Architecture] = {
    "resnet8": _resnet(8),
    "resnet14": _resnet(14),
    "resnet20": _resnet(20),
    "resnet32": _resnet(32),
    "resnet44": _resnet(44),
    "resnet56": _resnet(56),
    "resnet110": _resnet(110),
    "resnet8x4": _wider_resnet(8),
    "resnet32x4": _wider_resnet(32),
    "wrn_16_1": _wide_resnet(16, 1),
    "wrn_16_2": _wide_resnet(16, 2),
    "wrn_40_1": _wide_resnet(40, 1),
    "wrn_40_2": _wide_resnet(40, 2),
    "vgg8": _vgg(1),
    "vgg13": _vgg(2),
    "convnet": Architecture(code=f"{_NETS}.convnet:ConvNet", sizes=("width", "depth")),
    "mlp": Architecture(code=f"{_NETS}.mlp:MLP", sizes=("width", "depth"), image_size=True),
}

_TORCHVISION: dict[str, Architecture] = {
    **{name: Architecture() for name in TORCHVISION_ALONE},
    **{
        name: Architecture(family=family)
        for family, names in TORCHVISION_FAMILIES.items()
        for name in names
    },
}

ARCHITECTURES: dict[str, Architecture] = dict(sorted((_TORCHVISION | OWN_NETS).items()))


def family_of(arch: str) -> tuple[str, ...]:
    """Return the other members of the architecture's family; () for one without or unknown."""
    family = ARCHITECTURES[arch].family if arch in ARCHITECTURES else None
    if family is None:
        return ()
    in_order = {**OWN_NETS, **_TORCHVISION}  # from small to large, as rows and families list them
    return tuple(name for name in in_order if name != arch and ARCHITECTURES[name].family == family)


def of_torchvision(arch: str) -> bool:
    """Whether the name is that of a network of torchvision's."""
    return arch in ARCHITECTURES and ARCHITECTURES[arch].code is None
