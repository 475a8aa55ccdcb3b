"""Paired difference of two ways to train, with its 95 % interval and p.

Over seeds the differences are put to Student's paired t-test. One seed is two models, which are
compared on their images by McNemar's exact test: that says nothing of the way they were trained.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

CONFIDENCE = 0.95
PAIRED_T, MCNEMAR = "paired_t", "mcnemar"

FEW = 3
"""Rows of a table up to which its p are not adjusted for their number."""

ROUNDING = 1e-9
"""Points below which two differences are equal."""


class Discordant(NamedTuple):
    """How many of the images only one of two models gets right."""

    only_ours: int
    only_theirs: int
    images: int


@dataclass(frozen=True)
class PairedGain:
    """Difference of two accuracies.

    Attributes:
        points: the mean difference in percentage points.
        low: of the 95 % interval, in points; None where there is nothing to compute it from.
        high: its other end.
        p: two-sided; None likewise.
        test: `paired_t` over several seeds, `mcnemar` on the images of one; None where the answers
            to the images are not known.
        seeds: pairs that were compared.
        only_ours: images that only our model gets right, of one seed.
        only_theirs: images that only theirs gets right.
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
        """Whether the interval over several seeds lies above zero; never of one seed."""
        return self.test == PAIRED_T and self.low is not None and self.low > 0

    @property
    def is_loss(self) -> bool:
        """Whether the interval over several seeds lies below zero; never of one seed."""
        return self.test == PAIRED_T and self.high is not None and self.high < 0


def paired_gain(
    ours: Sequence[float], theirs: Sequence[float], images: Discordant | None = None
) -> PairedGain:
    """Compare accuracies seed by seed, those of one seed image by image.

    Args:
        ours: accuracies as fractions, one a seed.
        theirs: those of what is compared with, of the same seeds in the same order.
        images: answers of the two models; read for a single seed only.
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

    Differences that are all equal show no spread to test them by: no interval and no p.
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

    The interval of the difference takes at each end the wider one of Bonett and Price's (2012) and
    of the exact one given the number of discordant images: covering zero is then p >= 0.05.
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

    Bonett and Price (2012): one image is added to each kind of discordant ones.
    """
    size = counts.images + 2
    ours, theirs = (counts.only_ours + 1) / size, (counts.only_theirs + 1) / size
    z, mean = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), ours - theirs
    half = z * math.sqrt((ours + theirs - mean**2) / size)
    return max(-1.0, mean - half), min(1.0, mean + half)


def conditional(counts: Discordant) -> tuple[float, float]:
    """Exact interval of the difference, given how many images are discordant.

    Clopper and Pearson's (1934) of the share of ours among them, to which McNemar's p belongs.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - slow to import

    ours, theirs, images = counts
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(ours, theirs + 1, tail)) if ours else 0.0
    high = float(betaincinv(ours + 1, theirs, 1 - tail)) if theirs else 1.0
    scale = (ours + theirs) / images
    return scale * (2 * low - 1), scale * (2 * high - 1)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjustment of the p of several tests; None stays and counts for none."""
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    least = 0.0
    for number, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - number) * p))
        adjusted[place] = least
    return adjusted
