"""Words for paired differences: cells of tables, and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdrun.report.paired_gain import MCNEMAR, PairedGain, over_seeds

MORE_SEEDS = "seeds=[0,1,2,3,4]"
ONE_SEED = f"one seed says nothing about the method: {MORE_SEEDS}"


@dataclass(frozen=True)
class Compared:
    """Names in a comparison of two models.

    Attributes:
        what: the method under test: `distillation`, `the chain`.
        ours: its model.
        theirs: the other model.
        over: the other training method, as named in the sentence.
    """

    what: str
    ours: str
    theirs: str
    over: str


def signed(value: float, digits: int = 2) -> str:
    """Format points, or another number, with a sign: `+1.86` or `−1.74`."""
    return f"{value:+.{digits}f}".replace("-", "−")


def interval_words(gain: PairedGain) -> str:
    """Format an interval as `[−1.74, +5.46]`, or empty without one."""
    if gain.low is None or gain.high is None:
        return ""
    return f"[{signed(gain.low)}, {signed(gain.high)}]"


def p_words(p: float | None) -> str:
    """Format a p value as `p = 0.16`."""
    if p is None:
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def p_cell(p: float | None) -> str:
    """Format a p value for a table cell: `0.16`, or a dash."""
    return "-" if p is None else p_words(p).removeprefix("p ").removeprefix("= ")


def gain_cell(gain: PairedGain | None) -> str:
    """Format a gain as points with their 95 % interval: `+1.86 [−1.74, +5.46]`."""
    if gain is None:
        return "-"
    if gain.test is not None and gain.low is None:
        return f"{signed(gain.points)} at each seed"
    return f"{signed(gain.points)} {interval_words(gain)}".rstrip()


def points_cell(points: Sequence[float]) -> str:
    """Format the differences of one or several seeds for a table cell."""
    return gain_cell(over_seeds(points)) if len(points) > 1 else signed(points[0])


def judgement(gain: PairedGain) -> str:
    """Verdict on a difference over several seeds."""
    if gain.low is None:
        return f"untested (equal at all {gain.seeds} seeds)"
    if gain.is_gain:
        return "a gain"
    return "a loss" if gain.is_loss else "cannot be told from zero"


def evidence(gain: PairedGain, split: str, of: Compared) -> str:
    """Interval and p over several seeds, or the discordant images of one seed."""
    if gain.test == MCNEMAR:
        return (
            f": {gain.only_ours} {split} images only {of.ours} gets right, {gain.only_theirs} only "
            f"{of.theirs}, {p_words(gain.p)}"
        )
    if gain.seeds == 1:
        return ", and the run has no record of the images each model gets right"
    if gain.low is None:
        return f" at each of {gain.seeds} seeds"
    return f" {interval_words(gain)} (95 %, {gain.seeds} seeds, paired t, {p_words(gain.p)})"


def difference_words(gain: PairedGain, split: str, of: Compared) -> str:
    """The difference in words, with its evidence."""
    points = f"{signed(gain.points)} points of {split} accuracy over {of.over}"
    return f"{of.what}: {points}{evidence(gain, split, of)}"


def gain_sentence(gain: PairedGain, split: str, of: Compared) -> str:
    """The difference with its evidence and verdict; one seed gives no verdict on a method."""
    words = difference_words(gain, split, of)
    return f"{words}; {ONE_SEED}" if gain.seeds == 1 else f"{words}: {judgement(gain)}"


def on_test(gain: PairedGain | None) -> str:
    """The test result of a comparison that is decided on validation."""
    if gain is None:
        return ""
    p = "" if gain.p is None else f", {p_words(gain.p)}"
    if gain.test == MCNEMAR:
        counts = f"{gain.only_ours} images to {gain.only_theirs}"
        return f"; on test {signed(gain.points)} points, {counts}{p}"
    return f"; on test {gain_cell(gain)}{p}"
