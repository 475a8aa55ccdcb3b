"""Device, precision and determinism."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from kdrun.errors import ConfigError

DEVICE_SEEDS = {"cuda": torch.cuda.manual_seed, "mps": torch.mps.manual_seed}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The named device; the fastest available one for "auto".

    Raises:
        ConfigError: the name is unknown to torch, or this machine lacks the device.
    """
    if name == "auto":
        return torch.device(_available()[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"train.device={name}: not a device; available: {_listing()}") from None
    present = device.type in _available()
    if device.type == "cuda" and present:
        present = (device.index or 0) < torch.cuda.device_count()
    if not present:
        raise ConfigError(
            f"train.device={name}: not available on this machine; available: {_listing()}"
        )
    return device


def use_device(device: torch.device) -> None:
    """Make the device the default for events, streams, pinned memory and generators."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _available() -> list[str]:
    """Available device types, fastest first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, "cpu"]


def _listing() -> str:
    return ", ".join(["auto", *_available()])


def resolve_precision(name: str, device: torch.device) -> str:
    """fp32, bf16 or fp16; "auto" is bf16 on a device with fast bf16 instructions.

    Raises:
        ConfigError: the device does not support the precision.
    """
    if name == "auto":
        return "bf16" if _fast_bf16(device) else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("train.precision=fp16: a CPU has no fast fp16; use bf16 or fp32")
    return name


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # A CPU with AVX-512 but no bf16 instructions emulates bf16 in fp32.
    emulated = torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and not emulated


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The autocast context of the precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


def matrix_dtype(device: str) -> torch.dtype:
    """The current compute type of float32 convolutions and matrix products."""
    lower = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if lower else torch.float32


def place(model: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    """Move a model to the device, with its convolution weights in the given memory layout."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return model.to(device).to(memory_format=layout)


def set_determinism(on: bool) -> None:
    """Switch torch's deterministic mode on or off; operations without such a kernel raise."""
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.deterministic = on
    torch.backends.cudnn.benchmark = not on


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of the device.

    `torch.manual_seed` seeds every kind of device, and formats a stack trace for each kind not yet
    in use: 1 % of a small student's step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type in DEVICE_SEEDS:
        DEVICE_SEEDS[device.type](seed)
