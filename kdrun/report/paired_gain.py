"""Paired difference of two ways to train, with its standard error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev


@dataclass(frozen=True)
class PairedGain:
    """Mean difference of accuracies, and how far chance alone would move it."""

    mean: float
    error: float | None
    """Its standard error; None for one seed on an unknown number of images."""
    seeds: int
    """Pairs that were compared; for 1, `error` is that of the sample of images."""

    @property
    def exceeds_error(self) -> bool:
        """Whether the gain is more than one standard error: the verdict of every comparison."""
        return self.error is not None and self.mean > self.error


def paired_gain(
    ours: Sequence[float], theirs: Sequence[float], images: int | None = None
) -> PairedGain:
    """What we gained over them, as the mean of the differences at each seed.

    Args:
        ours: accuracies as fractions, one a seed.
        theirs: those of what is compared with, of the same seeds in the same order.
        images: how many images one accuracy was measured on; read for a single seed only.

    Returns:
        The gain; its error is the deviation of the differences over sqrt(seeds). A single seed has
        no deviation: its error is then the binomial one of two accuracies, `binomial_error`.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(
            "a paired gain needs both accuracies of at least one seed, got "
            f"{len(ours)} of ours and {len(theirs)} of theirs"
        )
    gains = [our - their for our, their in zip(ours, theirs, strict=True)]
    if len(gains) > 1:
        return PairedGain(mean(gains), stdev(gains) / math.sqrt(len(gains)), len(gains))
    error = None if images is None else binomial_error(ours[0], theirs[0], images)
    return PairedGain(gains[0], error, 1)


def binomial_error(our_accuracy: float, their_accuracy: float, images: int) -> float:
    """Standard error of the difference of two accuracies, each measured on `images` images.

    sqrt((p(1-p) + q(1-q)) / images), as of independent samples. On the same images two models err
    together, which makes the sampling error smaller; the rest stands in for the spread over
    seeds, of which a single one tells nothing.
    """
    if not (0 <= our_accuracy <= 1 and 0 <= their_accuracy <= 1 and images >= 1):
        raise ValueError(
            "a binomial error needs accuracies in [0, 1] and images >= 1, got "
            f"{our_accuracy}, {their_accuracy} and {images}"
        )
    variances = [accuracy * (1 - accuracy) for accuracy in (our_accuracy, their_accuracy)]
    return math.sqrt(sum(variances) / images)


def told(gain: PairedGain) -> str:
    """`+1.20 ± 0.31`: points of accuracy with their standard error."""
    error = "" if gain.error is None else f" ± {100 * gain.error:.2f}"
    return f"{100 * gain.mean:+.2f}{error}"
