"""Stems of ImageNet networks, adapted to small or non-RGB images."""

from torch import Tensor, nn

from kdrun.errors import ConfigError

# An ImageNet stem downsamples 32×32 images by four before the first block.
_SMALL_IMAGE = 64

# Family -> path of the pooling in its stem, or None if there is none. Families not listed here keep
# their stem: it cuts patches, or has no early stride to remove.
_STEM_POOLS = {
    "resnet": "maxpool",
    "resnext": "maxpool",
    "wide_resnet": "maxpool",
    "densenet": "features.pool0",
    "googlenet": "maxpool1",
    "shufflenet_v2": "maxpool",
    "mobilenet_v2": None,
    "mobilenet_v3": None,
    "mnasnet": None,
    "efficientnet": None,
    "regnet": None,
}


def wants_small_stem(stem: str, image_size: int) -> bool:
    """Whether `stem` (auto, imagenet or small) selects the small stem at this image size."""
    choices = {"auto": image_size <= _SMALL_IMAGE, "imagenet": False, "small": True}
    if stem not in choices:
        raise ConfigError(f"unknown stem '{stem}': {', '.join(choices)}")
    return choices[stem]


def use_small_stem(model: nn.Module, arch: str, *, pretrained: bool) -> None:
    """Set the first convolution to stride 1 and remove the pooling after it.

    A 7×7 kernel becomes a 3×3 kernel, the centre of the pretrained one if there is one. Families
    without such a stem are unchanged.
    """
    family = next((name for name in _STEM_POOLS if arch.startswith(name)), None)
    if family is None:
        return
    path, conv = _first_convolution(model)
    conv.stride = (1, 1)
    if conv.kernel_size == (7, 7):
        centre = _centre(conv.weight.detach()) if pretrained else None
        small = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=False)
        model.set_submodule(path, _with_kernel(small, conv, centre))
    pool = _STEM_POOLS[family]
    if pool is not None:
        model.set_submodule(pool, nn.Identity())


def set_input_channels(model: nn.Module, in_channels: int, *, pretrained: bool) -> None:
    """Replace the first convolution by one with `in_channels` input channels.

    A pretrained kernel is summed over its input channels and distributed evenly: a grey image, in
    one or several equal channels, has the same output as in RGB.
    """
    path, conv = _first_convolution(model)
    new = nn.Conv2d(
        in_channels,
        conv.out_channels,
        (conv.kernel_size[0], conv.kernel_size[1]),
        stride=(conv.stride[0], conv.stride[1]),
        padding=conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    kernel = _spread(conv.weight.detach(), in_channels) if pretrained else None
    model.set_submodule(path, _with_kernel(new, conv, kernel))


def fit_kernel(model: nn.Module, state: dict[str, Tensor]) -> str | None:
    """Fit a published first kernel in the state to the model's stem and channels.

    Returns what was done, for a message; None if the kernel fits or cannot be fitted.
    """
    path, conv = _first_convolution(model)
    kernel = state.get(f"{path}.weight")
    if kernel is None or kernel.ndim != 4 or kernel.shape == conv.weight.shape:
        return None
    done = []
    if kernel.shape[2:] == (7, 7) and conv.kernel_size == (3, 3):
        kernel = _centre(kernel)
        done.append("cut to its centre of 3x3")
    if kernel.shape[1] == 3 != conv.in_channels:
        kernel = _spread(kernel, conv.in_channels)
        done.append(f"summed over colours for {conv.in_channels}")
    if kernel.shape != conv.weight.shape:
        return None
    state[f"{path}.weight"] = kernel
    return f"the first kernel {' and '.join(done)}"


def _centre(kernel: Tensor) -> Tensor:
    return kernel[:, :, 2:5, 2:5]


def _spread(kernel: Tensor, in_channels: int) -> Tensor:
    """The sum over input channels, distributed evenly over other ones."""
    return kernel.sum(dim=1, keepdim=True).expand(-1, in_channels, -1, -1) / in_channels


def _first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d]:
    modules = model.named_modules()
    return next((path, module) for path, module in modules if isinstance(module, nn.Conv2d))


def _with_kernel(new: nn.Conv2d, old: nn.Conv2d, kernel: Tensor | None) -> nn.Conv2d:
    """`new` with this kernel and the old bias, or as initialised if there is no kernel."""
    if kernel is not None:
        new.weight = nn.Parameter(kernel.clone())
        new.bias = old.bias
    return new
