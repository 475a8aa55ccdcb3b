"""torchvision's classifiers, adapted to classes, channels and image size."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.models import GoogLeNet, Inception3, get_model

from kdrun.errors import ConfigError
from kdrun.models.heads import head_classes, replace_head
from kdrun.models.pretrained import find_weights, load_published
from kdrun.models.stems import set_input_channels, use_small_stem, wants_small_stem


def build_torchvision(
    arch: str,
    *,
    num_classes: int,
    in_channels: int,
    image_size: int,
    stem: str,
    weights: str | None,
) -> nn.Module:
    """torchvision's classifier `arch`; `weights` is the name of published weights, or "DEFAULT"."""
    pretrained = weights is not None
    options = _options(arch, image_size)
    if weights is None:
        model = _construct(arch, num_classes=num_classes, **options)
    else:
        published = find_weights(arch, weights)
        model = _construct(arch, **options)
        load_published(model, arch, published)
        if num_classes != head_classes(model):
            replace_head(model, num_classes)
    if wants_small_stem(stem, image_size):
        use_small_stem(model, arch, pretrained=pretrained)
    if in_channels != 3:
        set_input_channels(model, in_channels, pretrained=pretrained)
        if isinstance(model, GoogLeNet | Inception3):
            model.transform_input = False
    return model


def _options(arch: str, image_size: int) -> dict[str, Any]:
    """Constructor arguments of the architecture besides the number of classes."""
    if arch.startswith("vit_"):
        _check_patches(arch, image_size)
        return {"image_size": image_size}
    if arch == "maxvit_t":
        return {"input_size": (image_size, image_size)}
    if arch in {"googlenet", "inception_v3"}:
        # transform_input belongs to the published weights; always on, or the same state would
        # give other results in a model built without them.
        return {"aux_logits": False, "init_weights": False, "transform_input": True}
    if arch.startswith(("resnet", "resnext", "wide_resnet")):
        # Each block starts as the identity: deep networks diverge otherwise (Goyal et al., 2017).
        return {"zero_init_residual": True}
    return {}


def _check_patches(arch: str, image_size: int) -> None:
    patch = int(arch.rsplit("_", 1)[1])
    below = image_size // patch * patch
    if below != image_size:
        nearest = f"{below} or {below + patch}" if below else f"{patch}"
        raise ConfigError(
            f"{arch} cuts images into {patch}x{patch} patches, which do not divide "
            f"dataset.image_size={image_size}: set it to {nearest}"
        )


def _construct(arch: str, **options: Any) -> nn.Module:
    with _ReadableNumbers():
        model: nn.Module = get_model(arch, **options)
    device = next(model.parameters()).device
    return model.to(device)  # BatchNorm's counters, kept on the CPU by _ReadableNumbers


class _ReadableNumbers(TorchFunctionMode):
    """Keeps small numeric tensors off the meta device: RegNet computes its widths with them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.arange, torch.tensor) and kwargs.get("device") is None:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)
