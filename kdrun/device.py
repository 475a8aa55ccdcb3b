"""Device, precision and determinism."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from kdrun.errors import ConfigError

DEVICE_SEEDS = {"cuda": torch.cuda.manual_seed, "mps": torch.mps.manual_seed}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The named device, or the best one there is for "auto".

    Raises:
        ConfigError: torch does not know it or this machine lacks it.
    """
    if name == "auto":
        return torch.device(_available()[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"train.device={name}: not a device; here are {_listing()}") from None
    present = device.type in _available()
    if device.type == "cuda" and present:
        present = (device.index or 0) < torch.cuda.device_count()
    if not present:
        raise ConfigError(
            f"train.device={name}: this machine has no such device, only {_listing()}"
        )
    return device


def use_device(device: torch.device) -> None:
    """Make it the one that events, streams, pinned memory and generators belong to by default."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _available() -> list[str]:
    """Device types, the fastest first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, "cpu"]


def _listing() -> str:
    return ", ".join(["auto", *_available()])


def resolve_precision(name: str, device: torch.device) -> str:
    """fp32, bf16 or fp16; "auto" is bf16 where the device has fast instructions for it.

    Raises:
        ConfigError: the device cannot compute in the precision.
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
    # Without instructions for it a processor with AVX-512 computes bf16 by way of fp32.
    emulated = torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and not emulated


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a model computes in the precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[precision])


def matrix_dtype(device: str) -> torch.dtype:
    """The type in which convolutions and matrix products of float32 compute at present."""
    lower = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if lower else torch.float32


def place(model: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    """Move a model to the device, its convolution weights in the layout asked for."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return model.to(device).to(memory_format=layout)


def set_determinism(on: bool) -> None:
    """Ask torch for bit-exact repeats; operations that have none raise."""
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.deterministic = on
    torch.backends.cudnn.benchmark = not on


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the CPU's generator and the device's.

    `torch.manual_seed` takes every kind of device, and for each that has not been used yet formats
    the stack for a message that nobody reads: a hundredth of a small student's step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type in DEVICE_SEEDS:
        DEVICE_SEEDS[device.type](seed)
