"""Building a model by architecture name for a data set."""

from collections.abc import Callable
from functools import partial

from torch import nn

from kdrun.catalog.architectures import ARCHITECTURES, SMALL_NETS
from kdrun.errors import ConfigError, WeightsError, near_miss
from kdrun.models.architectures.convnet import ConvNet
from kdrun.models.architectures.mlp import MLP
from kdrun.models.architectures.resnet import CifarResNet
from kdrun.models.architectures.vgg import CifarVGG
from kdrun.models.architectures.wide_resnet import WideResNet
from kdrun.models.input_size import check_image_size
from kdrun.models.timm_models import build_timm
from kdrun.models.torchvision_models import build_torchvision

_FOUR_TIMES_WIDER = (32, 64, 128, 256)

# kdrun's own networks, each without its num_classes and in_channels.
_OWN_NETS: dict[str, Callable[..., nn.Module]] = {
    "resnet8": partial(CifarResNet, depth=8),
    "resnet14": partial(CifarResNet, depth=14),
    "resnet20": partial(CifarResNet, depth=20),
    "resnet32": partial(CifarResNet, depth=32),
    "resnet44": partial(CifarResNet, depth=44),
    "resnet56": partial(CifarResNet, depth=56),
    "resnet110": partial(CifarResNet, depth=110),
    "resnet8x4": partial(CifarResNet, depth=8, widths=_FOUR_TIMES_WIDER),
    "resnet32x4": partial(CifarResNet, depth=32, widths=_FOUR_TIMES_WIDER),
    "wrn_16_1": partial(WideResNet, depth=16, widen=1),
    "wrn_16_2": partial(WideResNet, depth=16, widen=2),
    "wrn_40_1": partial(WideResNet, depth=40, widen=1),
    "wrn_40_2": partial(WideResNet, depth=40, widen=2),
    "vgg8": partial(CifarVGG, convolutions=1),
    "vgg13": partial(CifarVGG, convolutions=2),
    "convnet": ConvNet,
    "mlp": MLP,
}


def build_model(
    arch: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    image_size: int = 32,
    stem: str = "auto",
    library: str = "kdrun",
    width: int | None = None,
    depth: int | None = None,
    weights: str | None = None,
) -> nn.Module:
    """The classifier `arch` for (N, in_channels, image_size, image_size) images.

    Drawn from torch's current random state, on the current default device; `with
    torch.device("meta")` counts without memory. The structure does not depend on `weights`, so
    that a state saved from a pretrained model fits one built without.

    Args:
        arch: a name from `names.ARCHITECTURES`, or timm's name with `library="timm"`.
        num_classes: width of the logits.
        in_channels: channels of the images.
        image_size: height and width of the images.
        stem: "imagenet" as published, "small" without the early strides, "auto" small up to 64.
        library: "kdrun" (its own networks and torchvision's) or "timm".
        width: first width of convnet, hidden width of mlp.
        depth: blocks of convnet, hidden layers of mlp.
        weights: name of published weights, "DEFAULT" for the best; files are for `load_state`.

    Raises:
        ConfigError: an unknown name, or an image size the architecture cannot take.
        WeightsError: weights that do not exist or cannot be had.
    """
    sizes = {"width": width, "depth": depth}
    given = {name: size for name, size in sizes.items() if size is not None}
    if given and (library != "kdrun" or arch not in SMALL_NETS):
        raise ConfigError(
            f"{arch} has no {' or '.join(given)} to set: only {' and '.join(SMALL_NETS)} do"
        )
    build = partial(
        _builder(arch, library, stem),
        arch,
        num_classes=num_classes,
        in_channels=in_channels,
        **given,
    )
    check_image_size(
        lambda size: build(image_size=size, weights=None), arch, in_channels, image_size
    )
    return build(image_size=image_size, weights=weights)


def _builder(arch: str, library: str, stem: str) -> Callable[..., nn.Module]:
    if library == "timm":
        return build_timm
    if library != "kdrun":
        raise ConfigError(f"unknown model library '{library}': kdrun or timm")
    if arch not in ARCHITECTURES:
        hint = near_miss(arch, ARCHITECTURES) or " ('kdrun --help' lists all)"
        raise ConfigError(f"unknown model '{arch}'{hint}")
    return _build_own if arch in _OWN_NETS else partial(build_torchvision, stem=stem)


def _build_own(arch: str, *, image_size: int, weights: str | None, **options: int) -> nn.Module:
    if weights is not None:
        raise WeightsError(
            f"{arch} has no published weights ('{weights}' was given): train it, or give a file"
        )
    if arch == "mlp":
        options["image_size"] = image_size
    return _OWN_NETS[arch](**options)
