"""Check of a run's test images and seeds against the gain they should resolve."""

import math
from collections.abc import Iterator
from statistics import mean

from kdrun.report.gain_words import signed
from kdrun.report.gains import gain_between
from kdrun.report.paired_gain import CONFIDENCE, PairedGain
from kdrun.store.summary import Entry, group_of, result_of, seeds, tests

RESOLVED = 0.01
LEAST_SEEDS, MOST_SEEDS = 3, 10

DOMINATES = 1.5
"""Ratio of the deviation over seeds to that from the test images, above which seeds are lacking."""


def gain_over_control(summary: Entry) -> PairedGain | None:
    """The paired gain of the result over the control; None if either is missing."""
    result, control = result_of(summary), group_of(summary, "control")
    if not result or len(result) != len(control):
        return None
    return gain_between(summary, result, control, "test")


def unresolved(summary: Entry) -> Iterator[str]:
    """Report a gain that the test images or seeds are too few to resolve."""
    gain, known = gain_over_control(summary), len(seeds(summary))
    if gain is None or gain.low is None or gain.high is None or gain.low > 0 or gain.high < 0:
        return
    spread = deviation(gain)
    if spread > DOMINATES * math.sqrt(variance(summary, gain) / summary["test_images"]):
        yield from few_seeds(gain, spread)
        return
    needed = 1.96**2 * variance(summary, gain) / RESOLVED**2
    runs = math.ceil(needed / summary["test_images"])
    if runs <= known:
        return
    runs = max(runs, LEAST_SEEDS)
    images = f"about {float(f'{needed:.1g}'):,.0f} test images".replace(",", " ")
    more = f" or {runs} seeds" if runs <= MOST_SEEDS else ""
    setting = f": seeds={list(range(runs))}".replace(" ", "") if more else ""
    yield (
        f"{summary['test_images']} test images are too few to resolve a gain of "
        f"{signed(gain.points)} points; {images}{more} would resolve 1 point"
        f"{setting.replace(':', ': ', 1)}"
    )


def deviation(gain: PairedGain) -> float:
    """Standard deviation of the differences over the seeds, as a fraction; 0 for one seed."""
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

    if gain.seeds < 2 or gain.low is None or gain.high is None:
        return 0.0
    quantile = float(stdtrit(gain.seeds - 1, (1 + CONFIDENCE) / 2))
    return (gain.high - gain.low) / 200 / quantile * math.sqrt(gain.seeds)


def few_seeds(gain: PairedGain, spread: float) -> Iterator[str]:
    """Report too few seeds if the differences vary more than the images explain."""
    runs = math.ceil((1.96 * spread / RESOLVED) ** 2)
    if runs <= gain.seeds:
        return
    setting = ": seeds=" + str(list(range(runs))).replace(" ", "")
    yield (
        f"{gain.seeds} seeds are too few to resolve a gain of {signed(gain.points)} points: it "
        f"varies by {100 * spread:.2f} points from seed to seed, and more test images would not "
        f"change that; about {runs} seeds would resolve 1 point"
        f"{setting if runs <= MOST_SEEDS else ''}"
    )


def variance(summary: Entry, gain: PairedGain) -> float:
    """Variance of the difference per test image, as a fraction squared."""
    if gain.only_ours is not None and gain.only_theirs is not None:
        discordant = (gain.only_ours + gain.only_theirs) / summary["test_images"]
        return discordant - (gain.points / 100) ** 2
    accuracies = [mean(tests(group_of(summary, "control"))), mean(tests(result_of(summary)))]
    return sum(p * (1 - p) for p in accuracies)
