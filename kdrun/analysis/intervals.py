"""Confidence intervals of a proportion."""

import math
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """Ends of a confidence interval, both in [0, 1]."""

    low: float
    high: float


def hoeffding_half_width(n: int, delta: float = 0.05) -> float:
    """Largest error of a mean of n values in [0, 1], with probability 1 - delta.

    sqrt(log(2/delta) / 2n) (Hoeffding, 1963), for samples that were not used to select the model.
    """
    if not (n >= 1 and 0 < delta < 1):
        raise ValueError(f"n must be at least 1 and delta in (0, 1), got n={n}, delta={delta}")
    return math.sqrt(math.log(2 / delta) / (2 * n))


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's (1927) score interval of an accuracy of `correct` out of n samples."""
    if not (n >= 1 and 0 <= correct <= n and 0 < confidence < 1):
        raise ValueError(
            "an interval needs n >= 1, correct in [0, n] and confidence in (0, 1), "
            f"got correct={correct}, n={n}, confidence={confidence}"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, shrink = correct / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))
