"""Calibration: confidence against accuracy (Guo et al., 2017)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kdrun.analysis.inputs import class_indices, class_probabilities, finite_table
from kdrun.analysis.root_finding import increasing_root

# Search radius for log T around the log of the largest logit margin: beyond, probabilities are
# one-hot or uniform in float64.
LOG_REACH = 32.0


@dataclass(frozen=True)
class ReliabilityBin:
    """Samples with a confidence (largest probability) in (low, high]."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_diagram(
    probs: Tensor, labels: Tensor, bins: int = 15
) -> tuple[ReliabilityBin, ...]:
    """The non-empty bins of equal width by confidence; (N, K), (N,) class indices."""
    if not bins >= 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    targets = class_indices(labels, class_probabilities("probs", probs))
    largest, decided = probs.detach().cpu().max(dim=1)
    # In the precision of the probabilities, where a confidence of 0.6 is the edge 9/15.
    edges = (torch.arange(1, bins, dtype=torch.float64) / bins).to(largest.dtype).double()
    confidence, correct = largest.double(), (decided == targets).double()
    places = torch.bucketize(confidence, edges)
    return tuple(
        ReliabilityBin(
            place / bins,
            (place + 1) / bins,
            int(inside.sum()),
            confidence[inside].mean().item(),
            correct[inside].mean().item(),
        )
        for place in places.unique().tolist()
        for inside in [places == place]
    )


def expected_calibration_error(probs: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean over samples of |accuracy - confidence| in their bin, in [0, 1]."""
    gaps = [
        filled.count * abs(filled.accuracy - filled.confidence)
        for filled in reliability_diagram(probs, labels, bins)
    ]
    return math.fsum(gaps) / len(probs)


def calibration_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the negative log-likelihood of (N, K) logits, (N,) class indices.

    Without a minimum, the limit is returned: 0.0 if every label has the largest logit, inf if the
    logits favour other classes than the labels.
    """
    values = finite_table("logits", logits)
    margins = values - values.gather(1, class_indices(labels, values)[:, None])

    def slope(log_T: float) -> tuple[float, float]:
        """T times the derivative of the loss by log T, and its own derivative by log T."""
        T = math.exp(log_T)
        probs = torch.softmax(margins / T, dim=1)
        means = (probs * margins).sum(dim=1, keepdim=True)
        variance = (probs * (margins - means).square()).sum(dim=1)
        return -means.mean().item(), variance.mean().item() / T

    centre = margins.abs().max().clamp_min(torch.finfo(torch.float64).tiny).log().item()
    low, high = centre - LOG_REACH, centre + LOG_REACH
    if slope(high)[0] <= 0:
        return math.inf
    if slope(low)[0] >= 0:
        return 0.0
    return math.exp(increasing_root(slope, low, high))
