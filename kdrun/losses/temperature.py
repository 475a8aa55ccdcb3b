"""Temperature softmax: softened logits and probabilities, and the valid range of T."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FLOAT64_FROM = 50.0
FLOAT64_BELOW = 1e-30


def check_temperature(T: float, infinite: bool = True) -> None:
    """Raise ValueError unless T is in (0, 1000] or, if `infinite`, inf."""
    # A negative T would give a finite loss that teaches the opposite; this comparison rejects nan.
    if not (T > 0 and (T <= 1000 or (infinite and math.isinf(T)))):
        raise ValueError(f"T must be in (0, 1000]{' or inf' if infinite else ''}, got {T}")


def widened(logits: Tensor, T: float) -> Tensor:
    """The logits in the precision needed at T: at least float32, float64 from T = 50."""
    # T^2 amplifies the rounding of nearly uniform probabilities: 9.5 % of the loss at T = 1000.
    least = torch.float32 if FLOAT64_BELOW <= T < FLOAT64_FROM else torch.float64
    return logits.to(torch.promote_types(logits.dtype, least))


def softened(logits: Tensor, T: float) -> Tensor:
    """logits / T up to a constant per row (last dimension), in the precision of `widened`."""
    logits = widened(logits, T)
    if T < FLOAT64_BELOW:  # the largest quotient may overflow: make it 0
        logits = logits - logits.amax(dim=-1, keepdim=True)
    return logits / T


def softmax_with_temperature(logits: Tensor, T: float) -> Tensor:
    """softmax(logits / T) over the last dimension, at least float32; uniform at T = inf.

    Tends to uniform over the largest logits as T goes to 0. ValueError for T outside (0, 1000].
    """
    check_temperature(T)
    probs = F.softmax(softened(logits, T), dim=-1)
    return probs.to(torch.promote_types(logits.dtype, torch.float32))
