"""Standardised logits, and averages over several teachers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kdrun.losses.inputs import check_some, full_precision
from kdrun.losses.temperature import softmax_with_temperature


def standardize_logits(logits: Tensor) -> Tensor:
    """(z - mean) / (unbiased std + 1e-7) over the classes (Sun et al., 2024); 0 if all equal.

    (..., K) finite logits of at least 2 classes.
    """
    if logits.shape[-1] < 2:
        raise ValueError(f"logits must have at least 2 classes, got {tuple(logits.shape)}")
    check_some("logits", logits)
    (logits,) = full_precision(logits)
    centred = logits - logits.mean(dim=-1, keepdim=True)
    return centred / (logits.std(dim=-1, keepdim=True) + 1e-7)


def ensemble_probabilities(
    teacher_logits: Sequence[Tensor], T: float, weights: Sequence[float] | None = None
) -> Tensor:
    """Mean of the teachers' probabilities at T, for `soft_probability_loss`.

    `weights` (none negative, not all 0) are normalised to sum 1; the default is equal weights.
    """
    shares = [1.0] * len(teacher_logits) if weights is None else list(weights)
    if len(shares) != len(teacher_logits):
        raise ValueError(f"{len(teacher_logits)} teachers but {len(shares)} weights")
    total = sum(shares)
    if not (total > 0 and math.isfinite(total) and min(shares) >= 0):
        raise ValueError(f"teacher weights must be >= 0, finite and not all 0, got {shares}")
    if len({logits.shape for logits in teacher_logits}) > 1:
        shapes = [tuple(logits.shape) for logits in teacher_logits]
        raise ValueError(f"teachers' logits differ in shape: {shapes}")
    probs = [softmax_with_temperature(logits, T) for logits in teacher_logits]
    return torch.stack(
        [share / total * prob for share, prob in zip(shares, probs, strict=True)]
    ).sum(dim=0)


def mean_logits(teacher_logits: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Mean of the teachers' (N, K) logits; `weights` as in `ensemble_probabilities`."""
    counts = weights or [1.0] * len(teacher_logits)
    shares = [weight / sum(counts) for weight in counts]
    return torch.stack([w * x for w, x in zip(shares, teacher_logits, strict=True)]).sum(0)
