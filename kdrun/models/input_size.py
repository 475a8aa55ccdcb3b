"""Image sizes accepted by an architecture."""

from collections.abc import Callable

import torch
from torch import nn

from kdrun.errors import ConfigError, reason

# Tried in this order for the remedy; 224 last, for the few that accept only ImageNet's size.
_CANDIDATES = (16, 32, 64, 128, 256, 512, 224)


def check_image_size(
    build: Callable[[int], nn.Module], arch: str, in_channels: int, image_size: int
) -> None:
    """Raise ConfigError, naming a size that works, if a forward pass at this image size fails.

    `build` makes the model for an image size, on the meta device here: nothing is allocated.
    """
    failure = _failure(build, in_channels, image_size)
    if failure is None:
        return
    given = f"{image_size}x{image_size}"
    works = (size for size in _CANDIDATES if _failure(build, in_channels, size) is None)
    size = next(works, None)
    if size is None:
        raise ConfigError(f"{arch} does not take images of {given}: {failure}")
    fault = "needs larger images than" if size > image_size else "does not take images of"
    raise ConfigError(f"{arch} {fault} {given}: set dataset.image_size={size}")


def _failure(build: Callable[[int], nn.Module], in_channels: int, image_size: int) -> str | None:
    """First line of the error on one image of this size, or None."""
    try:
        with torch.device("meta"), torch.no_grad():
            model = build(image_size).eval()
            model(torch.empty(1, in_channels, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError, ArithmeticError) as error:
        return reason(error)
    return None
