"""Shannon's entropy and the divergences between distributions, in nats."""

import torch
from torch import Tensor

from kdrun.analysis.inputs import probability_rows

# Probabilities below count as 0, because ratios to them would overflow.
NEGLIGIBLE = 1e-300


def entropy(probs: Tensor) -> Tensor:
    """Entropy (...) in nats of the rows of (..., K) probabilities, with 0 log 0 = 0."""
    nats = torch.special.entr(probability_rows("probs", probs)).sum(dim=-1)
    return nats.to(probs.device, torch.promote_types(probs.dtype, torch.float32))


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) in nats of the rows of float64 (..., K); inf if q is 0 where p is not."""
    # Each term carries q - p, which sums to 0: it makes every term >= 0, so that the tiny
    # divergence of near-equal rows is not lost in the rounding of large terms that cancel.
    counts = p > NEGLIGIBLE
    p_or_1, difference = p.where(counts, 1.0), q - p
    near = difference.abs() < p / 2
    logs = torch.where(near, torch.log1p(difference / p_or_1), torch.log(q / p_or_1))
    return (difference - p * logs).where(counts, q).sum(dim=-1).clamp_min(0.0)


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """Half the summed absolute difference of the rows of (..., K), in [0, 1]."""
    return (p - q).abs().sum(dim=-1) / 2
