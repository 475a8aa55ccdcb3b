"""Models of the timm library (optional)."""

import logging
from functools import partial
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from kdrun.errors import ConfigError, WeightsError, near_miss, reason

_log = logging.getLogger(__name__)


def build_timm(
    arch: str, *, num_classes: int, in_channels: int, image_size: int, weights: str | None
) -> nn.Module:
    """timm's model `arch`; `weights` is a pretrained tag of it, or "DEFAULT"."""
    timm = _timm()
    _check_name(timm, arch)
    create = partial(
        timm.create_model,
        arch if weights is None else _pretrained_name(timm, arch, weights),
        pretrained=weights is not None,
        num_classes=num_classes,
        in_chans=in_channels,
    )
    try:
        return _create(create, image_size)
    except OSError as error:
        raise WeightsError(
            f"cannot download the weights '{weights}' of timm's {arch} ({reason(error)}): "
            "download them by hand and give the path of the file"
        ) from error


def timm_config(arch: str, weights: str) -> dict[str, Any]:
    """timm's config of pretrained weights: `tag`, `mean`, `std`, `num_classes`, ..."""
    timm = _timm()
    _check_name(timm, arch)
    found = timm.get_pretrained_cfg(_pretrained_name(timm, arch, weights))
    return dict(found.to_dict())


def timm_normalization(arch: str) -> dict[str, list[float]]:
    """The input mean and deviation of timm's pretrained config of the architecture."""
    timm = _timm()
    _check_name(timm, arch)
    found = timm.get_pretrained_cfg(arch).to_dict()
    return {"mean": list(found["mean"]), "std": list(found["std"])}


def _check_name(timm: Any, arch: str) -> None:
    if not timm.is_model(arch):
        raise ConfigError(f"timm has no model '{arch}'{near_miss(arch, timm.list_models())}")


def _timm() -> Any:
    try:
        return import_module("timm")
    except ImportError as error:
        raise ConfigError("library 'timm' is not installed: pip install 'kdrun[timm]'") from error


def _create(create: partial[nn.Module], image_size: int) -> nn.Module:
    try:
        return create(img_size=image_size)
    except TypeError:  # families that accept any size have no such argument
        return create()


def _pretrained_name(timm: Any, arch: str, weights: str) -> str:
    tags = [name.removeprefix(f"{arch}.") for name in timm.list_pretrained(f"{arch}.*")]
    if not tags:
        raise WeightsError(f"timm has no pretrained weights of {arch}: train it, or give a file")
    if weights == "DEFAULT":
        return arch
    if weights not in tags:
        hint = near_miss(weights, tags)
        raise WeightsError(
            f"timm's {arch} has no weights '{weights}'{hint}; there are DEFAULT, {', '.join(tags)}"
        )
    return f"{arch}.{weights}"


def timm_conversion(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Convert a state to timm's names and to the model's image size, as timm does on loading.

    A state for which timm has no conversion stays as it is.
    """
    module = import_module(type(model).__module__)
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        return dict(convert(dict(state), model))
    # A state of another model can raise anything; its fit is checked afterwards.
    except Exception as error:
        _log.debug("timm could not convert the weights: %s", error)
        return state
