"""Random numbers as pure functions of (seed, view, index, stream), the same on every device.

The numbers of one (seed, view, stream) are the outputs of SplitMix64 (Steele et al., 2014), with
the index as position in this sequence; so there is no generator state to save or restore.
"""

from enum import IntEnum, unique

import numpy as np
import torch
from torch import Tensor

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
SHIFTS = (30, 27, 31)


@unique
class RandomStream(IntEnum):
    """Stream numbers: one per purpose, so that no two purposes share random numbers."""

    CROP = 1
    RESIZED_CROP = 2
    MIXING = 3
    LIMIT = 4
    VALIDATION = 5
    LABEL_NOISE = 6
    HELD_OUT = 7
    DIGITS = 8
    FAKE = 9


def stream_key(seed: int, view: int, stream: int) -> int:
    """The 64-bit SplitMix64 seed of a stream; all arguments in [0, 2^64)."""
    key = 0
    for part in (seed, view, stream):
        key = _mix_int((key + part + GAMMA) & MASK)
    return key


def counter_bits(seed: int, view: int, indices: Tensor, stream: int) -> Tensor:
    """64 random bits, as int64, for each int64 index, on the device of the indices."""
    key = stream_key(seed, view, stream)
    z = (indices + 1) * _signed(GAMMA) + _signed(key)
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        z = (z ^ _shift_right(z, shift)) * _signed(multiplier)
    return z ^ _shift_right(z, SHIFTS[2])


def counter_integers(seed: int, view: int, indices: Tensor, stream: int, *, high: int) -> Tensor:
    """An int64 in [0, high) for each int64 index; high <= 2^31, bias below high / 2^32."""
    bits = _shift_right(counter_bits(seed, view, indices, stream), 32)
    return (bits * high) >> 32


def host_generator(seed: int, stream: int, view: int = 0, step: int = 0) -> np.random.Generator:
    """A host generator for draws once per batch or once per data set."""
    return philox(seed, stream_key(view, step, stream))


def philox(seed: int, view: int) -> np.random.Generator:
    """A generator keyed by exactly (seed, view) (Philox: Salmon et al., 2011)."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, view], dtype=np.uint64)))


def shuffled(count: int, seed: int, view: int) -> Tensor:
    """The shuffled order of `count` images in pass number `view`, int64 on the CPU."""
    return torch.from_numpy(philox(seed, view).permutation(count))


def _mix_int(z: int) -> int:
    """The output function of SplitMix64 on one Python integer."""
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        z = ((z ^ (z >> shift)) * multiplier) & MASK
    return z ^ (z >> SHIFTS[2])


def _shift_right(z: Tensor, by: int) -> Tensor:
    """Logical right shift: torch's shift copies the sign bit, and the mask clears it."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same bits."""
    return value - 2**64 if value >= 2**63 else value
