"""Settings that cannot be told from the best one on validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdrun.report.gain_words import MORE_SEEDS, p_words
from kdrun.report.gains import discordant
from kdrun.report.paired_gain import (
    CONFIDENCE,
    FEW,
    MCNEMAR,
    PAIRED_T,
    PairedGain,
    holm,
    paired_gain,
)
from kdrun.store.correct_images import Correct, CorrectImages
from kdrun.store.summary import Entry, places, result_of

MOST_NAMES = 6


@dataclass(frozen=True)
class Score:
    """A model on validation: its accuracy, and which images it gets right where that is known."""

    accuracy: float
    correct: Correct | None


Scores = Mapping[Any, Score]
"""Those of a setting, by seed."""


def scores_of(summary: Entry, correct: CorrectImages) -> dict[Any, Score]:
    """The scores of a run's student, or last generation; none without validation images."""
    result = result_of(summary)
    return {
        stage.get("seed", summary["seed"]): Score(accuracy, correct.get(place, {}).get(VALIDATION))
        for stage, place in zip(result, places(summary, result), strict=True)
        if (accuracy := stage["accuracy"]["best_validation"]) is not None
    }


VALIDATION = "validation"


def scores_gain(ours: Scores, theirs: Scores) -> PairedGain | None:
    """The paired difference of two settings at the seeds that both have; None where none are."""
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    images = discordant(ours[seeds[0]].correct, theirs[seeds[0]].correct)
    accuracies = [[side[seed].accuracy for seed in seeds] for side in (ours, theirs)]
    return paired_gain(accuracies[0], accuracies[1], images)


def adjusted(gains: Sequence[PairedGain | None], rows: int) -> list[float | None]:
    """The p of comparisons with one setting, by Holm where the table has more than `FEW` rows."""
    values = [None if gain is None else gain.p for gain in gains]
    return holm(values) if rows > FEW else values


def control_p_words(named: Sequence[tuple[str, PairedGain | None]]) -> str | None:
    """Holm's p of many gains over a control, each with the name of its model; None for few."""
    known = [(name, gain.p) for name, gain in named if gain is not None]
    if len(known) <= FEW:
        return None
    values = zip(known, holm([p for _, p in known]), strict=True)
    told = [f"{name}: {p_words(p)}" for (name, _), p in values]
    told = [*told[:MOST_NAMES], *(["..."] if len(told) > MOST_NAMES else [])]
    return f"over control, Holm-adjusted for {len(known)} comparisons: {'; '.join(told)}"


@dataclass(frozen=True)
class Ties:
    """Places of the settings, from 1, compared with the best at place 0.

    Attributes:
        tied: cannot be told from the best.
        apart: are worse.
        unknown: could not be compared.
        tests: names of the tests that were used.
        holm: whether p were adjusted for their number.
    """

    tied: list[int]
    apart: list[int]
    unknown: list[int]
    tests: list[str]
    holm: bool


def ties_with_best(settings: Sequence[Scores]) -> Ties:
    """Compare every setting with the first one, which came out best.

    Of settings that are equally good one comes out best by chance, so that some of them may well
    be told from it; but the one that is truly best is told apart in at most 5 % of sweeps.
    """
    gains = [scores_gain(one, settings[0]) for one in settings[1:]]
    ties = Ties([], [], [], sorted({one.test for one in gains if one and one.test}), False)
    for place, (gain, p) in enumerate(zip(gains, adjusted(gains, len(settings)), strict=True), 1):
        if gain is None or gain.test is None:
            ties.unknown.append(place)
        else:
            apart = p is not None and p < 1 - CONFIDENCE
            (ties.apart if apart else ties.tied).append(place)
    return Ties(ties.tied, ties.apart, ties.unknown, ties.tests, len(settings) > FEW)


TESTS = {
    PAIRED_T: "paired t over the seeds",
    MCNEMAR: "exact McNemar",
}


def ties_words(ties: Ties, names: Sequence[str]) -> str:
    """How many settings cannot be told from the best, by which test, and which they are."""
    told = []
    if ties.tied or ties.apart:
        how = " and ".join(TESTS[name] for name in ties.tests)
        how += ", p Holm-adjusted" if ties.holm else ""
        shown = [names[place] for place in ties.tied[:MOST_NAMES]]
        shown += ["..."] if len(ties.tied) > MOST_NAMES else []
        of_which = f": {', '.join(shown)}" if shown and ties.apart else ""
        told.append(f"{_how_many(ties)} at 95 % ({how}){of_which}")
    if MCNEMAR in ties.tests:
        told.append(f"single models say nothing of the settings: {MORE_SEEDS}")
    if ties.unknown:
        told.append(
            f"{len(ties.unknown)} could not be compared with the best: they share no seed, or the "
            "runs do not hold which validation images their models get right"
        )
    return "; ".join(told)


def _how_many(ties: Ties) -> str:
    tied, others = len(ties.tied), len(ties.tied) + len(ties.apart)
    best = "the best on validation"
    if others == 1:
        return f"the other setting {'cannot be told from' if tied else 'is worse than'} {best}"
    if tied == others:
        return f"none of the other {others} settings can be told from {best}"
    if tied == 0:
        return f"the other {others} settings are worse than {best}"
    return f"{tied} of the other {others} settings cannot be told from {best}"
