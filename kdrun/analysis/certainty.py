"""Certainty of a teacher: entropy and calibration of its outputs."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from kdrun.analysis.calibration import calibration_temperature
from kdrun.analysis.entropy import entropy

TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Temperatures at which a teacher's entropy is recorded."""

NEARLY_UNIFORM = 0.9
"""Share of log K above which a teacher's entropy at T = 1 leaves little to learn."""

LEAST_NLL_GAIN = 0.1
"""Nats of loss that another T must save before the calibration counts as wrong."""

LOWEST_T, HIGHEST_T = 0.5, 4.0


def certainty(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Entropy shares and calibration of (N, K) logits, (N,) labels, as JSON data."""
    values = logits.double()
    T = calibration_temperature(values, labels)
    nll = cross_entropy(values, labels).item()
    least = cross_entropy(values / T, labels).item() if 0 < T < math.inf else nll
    return {
        "images": len(values),
        "entropy": {f"{t:g}": round(entropy_share(values / t), 4) for t in TEMPERATURES},
        "calibration_T": round(T, 3) if math.isfinite(T) else None,
        "nll": round(nll, 4),
        "calibrated_nll": round(least, 4),
    }


def entropy_share(logits: Tensor) -> float:
    """The mean entropy of the softmax of (N, K) logits over log K."""
    return entropy(torch.softmax(logits, dim=1)).mean().item() / math.log(logits.shape[1])


def share_at(measures: Mapping[str, Any], T: float) -> float:
    """Entropy share of a `certainty` at T, interpolated over log T."""
    shares = sorted((float(t), float(share)) for t, share in measures["entropy"].items())
    if shares[0][0] >= T:
        return shares[0][1]
    for (low, below), (high, above) in pairwise(shares):
        if high >= T:
            return below + (above - below) * math.log(T / low) / math.log(high / low)
    return shares[-1][1]


def doubts(measures: Mapping[str, Any]) -> Iterator[str]:
    """Faults of a teacher by its `certainty`, as predicates of a sentence."""
    share, T = share_at(measures, 1.0), measures["calibration_T"]
    gain = measures["nll"] - measures["calibrated_nll"]
    if share > NEARLY_UNIFORM:
        yield f"is nearly uniform (its entropy at T=1 is {share:.1%} of the maximum)"
    elif T is not None and gain > LEAST_NLL_GAIN and not LOWEST_T <= T <= HIGHEST_T:
        confident = "underconfident" if T < 1 else "overconfident"
        yield f"is strongly {confident} (its calibration temperature is {T:.2g})"
