"""Construction of models by architecture name."""

from collections.abc import Callable, Iterable
from functools import partial

from torch import nn

from kdrun.catalog.architectures import ARCHITECTURES, Architecture
from kdrun.errors import ConfigError, WeightsError, near_miss
from kdrun.models.input_size import check_image_size
from kdrun.models.timm_models import build_timm
from kdrun.models.torchvision_models import build_torchvision


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

    Initialised from torch's current random state, on the current default device; `with
    torch.device("meta")` allocates no memory. The structure does not depend on `weights`: the state
    of a pretrained model fits a model built without weights.

    Args:
        arch: a row of `ARCHITECTURES`, or timm's name with `library="timm"`.
        num_classes: width of the logits.
        in_channels: channels of the images.
        image_size: height and width of the images.
        stem: "imagenet" as published, "small" without the early strides, "auto" small up to 64.
        library: "kdrun" (its own networks and torchvision's) or "timm".
        width: of architectures with a free width, such as convnet's first or mlp's hidden layers.
        depth: of architectures with a free depth, such as convnet's blocks or mlp's hidden layers.
        weights: name of published weights, "DEFAULT" for the best; files are for `load_state`.

    Raises:
        ConfigError: an unknown name, or an image size that the architecture does not accept.
        WeightsError: weights that do not exist or cannot be downloaded.
    """
    sizes = {"width": width, "depth": depth}
    given = {name: size for name, size in sizes.items() if size is not None}
    _check_sizes(arch, library, given)
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
    row = ARCHITECTURES[arch]
    return partial(build_torchvision, stem=stem) if row.code is None else partial(_build_own, row)


def _check_sizes(arch: str, library: str, given: Iterable[str]) -> None:
    """Refuse `width` or `depth` for architectures that fix them."""
    free = ARCHITECTURES[arch].sizes if library == "kdrun" and arch in ARCHITECTURES else ()
    fixed = [size for size in given if size not in free]
    if fixed:
        able = [name for name, row in ARCHITECTURES.items() if set(fixed) <= {*row.sizes}]
        raise ConfigError(
            f"{arch} has no {' or '.join(fixed)} to set: only {' and '.join(able)} do"
        )


def _build_own(
    row: Architecture, arch: str, *, image_size: int, weights: str | None, **options: int
) -> nn.Module:
    if weights is not None:
        raise WeightsError(
            f"{arch} has no published weights ('{weights}' was given): train it, or give a file"
        )
    sized = {"image_size": image_size} if row.image_size else {}
    model: nn.Module = row.load()(**row.arguments, **sized, **options)
    return model
