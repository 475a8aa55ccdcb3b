"""Paired difference of two training methods, with its 95 % interval and p.

Several seeds are compared by Student's paired t-test. One seed gives two models, compared on their
images by McNemar's exact test, which says nothing about the methods.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

CONFIDENCE = 0.95
PAIRED_T, MCNEMAR = "paired_t", "mcnemar"

FEW = 3
"""Largest table whose p values are not adjusted for their number."""

ROUNDING = 1e-9
"""Points within which two differences count as equal."""


class Discordant(NamedTuple):
    """Numbers of images that only one of two models gets right."""

    only_ours: int
    only_theirs: int
    images: int


@dataclass(frozen=True)
class PairedGain:
    """Difference of two accuracies.

    Attributes:
        points: the mean difference in percentage points.
        low: lower end of the 95 % interval, in points; None without data for an interval.
        high: upper end.
        p: two-sided; None without data for a test.
        test: `paired_t` over several seeds, `mcnemar` on the images of one; None if the correct
            images are not known.
        seeds: number of pairs.
        only_ours: images that only our model gets right, with one seed.
        only_theirs: images that only the other model gets right.
    """

    points: float
    low: float | None
    high: float | None
    p: float | None
    test: str | None
    seeds: int
    only_ours: int | None = None
    only_theirs: int | None = None

    @property
    def is_gain(self) -> bool:
        """Whether the interval over several seeds lies above zero; False for one seed."""
        return self.test == PAIRED_T and self.low is not None and self.low > 0

    @property
    def is_loss(self) -> bool:
        """Whether the interval over several seeds lies below zero; False for one seed."""
        return self.test == PAIRED_T and self.high is not None and self.high < 0


def paired_gain(
    ours: Sequence[float], theirs: Sequence[float], images: Discordant | None = None
) -> PairedGain:
    """Compare accuracies seed by seed, or image by image for one seed.

    Args:
        ours: accuracies as fractions, one per seed.
        theirs: accuracies of the baseline, for the same seeds in the same order.
        images: discordant images of the two models; read for a single seed only.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(
            "a paired gain needs both accuracies of at least one seed, got "
            f"{len(ours)} of ours and {len(theirs)} of theirs"
        )
    points = [100 * (our - their) for our, their in zip(ours, theirs, strict=True)]
    if len(points) > 1:
        return over_seeds(points)
    return PairedGain(points[0], None, None, None, None, 1) if images is None else mcnemar(images)


def over_seeds(points: Sequence[float]) -> PairedGain:
    """Student's paired t-test of the differences at two or more seeds.

    Equal differences have no spread, so no interval and no p.
    """
    from scipy.special import stdtr, stdtrit  # noqa: PLC0415 - slow to import

    mean, seeds = fmean(points), len(points)
    error = stdev(points) / math.sqrt(seeds)
    if not error > ROUNDING:
        return PairedGain(mean, None, None, None, PAIRED_T, seeds)
    half = float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(stdtr(seeds - 1, -abs(mean) / error))
    return PairedGain(mean, mean - half, mean + half, p, PAIRED_T, seeds)


def mcnemar(counts: Discordant) -> PairedGain:
    """McNemar's exact test of two models on the same images (binomial, two-sided).

    Each end of the interval is the wider of Bonett and Price's (2012) and the exact one given the
    number of discordant images, so the interval covers zero exactly if p >= 0.05.
    """
    from scipy.special import bdtr  # noqa: PLC0415 - slow to import

    ours, theirs, images = counts
    if not (ours >= 0 and theirs >= 0 and images >= max(1, ours + theirs)):
        raise ValueError(f"discordant images need counts >= 0 within all images, got {counts}")
    p = min(1.0, 2 * float(bdtr(min(ours, theirs), ours + theirs, 0.5)))
    (low, high), (least, most) = bonett_price(counts), conditional(counts)
    low, high = 100 * min(low, least), 100 * max(high, most)
    return PairedGain(100 * (ours - theirs) / images, low, high, p, MCNEMAR, 1, ours, theirs)


def bonett_price(counts: Discordant) -> tuple[float, float]:
    """Adjusted Wald interval of the difference of two paired proportions.

    Bonett and Price (2012): adds one image to each kind of discordant images.
    """
    size = counts.images + 2
    ours, theirs = (counts.only_ours + 1) / size, (counts.only_theirs + 1) / size
    z, mean = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), ours - theirs
    half = z * math.sqrt((ours + theirs - mean**2) / size)
    return max(-1.0, mean - half), min(1.0, mean + half)


def conditional(counts: Discordant) -> tuple[float, float]:
    """Exact interval of the difference, given the number of discordant images.

    Clopper and Pearson's (1934) interval of our share of them, consistent with McNemar's p.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - slow to import

    ours, theirs, images = counts
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(ours, theirs + 1, tail)) if ours else 0.0
    high = float(betaincinv(ours + 1, theirs, 1 - tail)) if theirs else 1.0
    scale = (ours + theirs) / images
    return scale * (2 * low - 1), scale * (2 * high - 1)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p values of several tests by Holm (1979), skipping None."""
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    least = 0.0
    for number, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - number) * p))
        adjusted[place] = least
    return adjusted
