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
from kdrun.store.correct_images import Correct, CorrectImages, same_images
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
    """The paired difference of two settings at the seeds that both have on the same images.

    None where there are none.
    """
    seeds = [
        seed
        for seed in ours
        if seed in theirs and same_images(ours[seed].correct, theirs[seed].correct) is not False
    ]
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
    return (
        f"over control, p Holm-adjusted for {len(known)} comparisons, which the intervals are not: "
        f"{'; '.join(told)}"
    )


@dataclass(frozen=True)
class Ties:
    """Places of the settings, from 1, compared with the best at place 0.

    Attributes:
        tied: cannot be told from the best.
        apart: are worse.
        ahead: are better at the seeds that both have, though not on the average of their own.
        untested: their difference is the same at all seeds, without a spread to test it by.
        unknown: could not be compared.
        tests: names of the tests that were used.
        holm: whether p were adjusted for their number.
        shared: the seeds of a comparison, where one of the two settings has more.
    """

    tied: list[int]
    apart: list[int]
    ahead: list[int]
    untested: list[int]
    unknown: list[int]
    tests: list[str]
    holm: bool
    shared: Mapping[int, int]


def ties_with_best(settings: Sequence[Scores]) -> Ties:
    """Compare every setting with the first one, which came out best.

    Of settings that are equally good one comes out best by chance, so that some of them may well
    be told from it; but the one that is truly best is told apart in at most 5 % of sweeps.
    """
    gains = [scores_gain(one, settings[0]) for one in settings[1:]]
    tests = sorted({one.test for one in gains if one and one.test})
    shared = {
        place: gain.seeds
        for place, gain in enumerate(gains, 1)
        if gain and gain.seeds < max(len(settings[0]), len(settings[place]))
    }
    ties = Ties([], [], [], [], [], tests, len(settings) > FEW, shared)
    for place, (gain, p) in enumerate(zip(gains, adjusted(gains, len(settings)), strict=True), 1):
        if gain is None or gain.test is None:
            ties.unknown.append(place)
        else:
            _side(ties, gain, p).append(place)
    return ties


def _side(ties: Ties, gain: PairedGain, p: float | None) -> list[int]:
    """Where a compared setting belongs, by its p and the sign of its difference."""
    if p is None:
        return ties.untested
    if p >= 1 - CONFIDENCE:
        return ties.tied
    return ties.apart if gain.points < 0 else ties.ahead


TESTS = {
    PAIRED_T: "paired t over the seeds",
    MCNEMAR: "exact McNemar",
}


def ties_words(ties: Ties, names: Sequence[str]) -> str:
    """How many settings cannot be told from the best, by which test, and which they are."""
    told = []
    if ties.tied or ties.apart or ties.ahead:
        how = " and ".join(TESTS[name] for name in ties.tests)
        how += ", p Holm-adjusted" if ties.holm else ""
        shown = _few([names[place] for place in ties.tied])
        of_which = f": {shown}" if shown and (ties.apart or ties.ahead) else ""
        told.append(f"{_how_many(ties)} at 95 % ({how}){of_which}")
    if ties.untested:
        told.append(
            f"{len(ties.untested)} untested, differing from the best equally at every seed: "
            f"{_few([names[place] for place in ties.untested])}"
        )
    if ties.shared:
        told.append(f"not of all seeds: {_shared_words(ties, names)}")
    if MCNEMAR in ties.tests:
        told.append(f"single models say nothing of the settings: {MORE_SEEDS}")
    if ties.unknown:
        told.append(
            f"{len(ties.unknown)} could not be compared with the best: they share no seed, their "
            "validation images differ, or the runs do not hold which of these they get right"
        )
    return "; ".join(told)


def _shared_words(ties: Ties, names: Sequence[str]) -> str:
    """The settings that were compared at fewer seeds than they have."""
    told = [
        f"{names[place]} (of {n} shared seed{'s' * (n > 1)})" for place, n in ties.shared.items()
    ]
    return _few(told)


def _few(names: Sequence[str]) -> str:
    """The first of the names."""
    return ", ".join([*names[:MOST_NAMES], *(["..."] if len(names) > MOST_NAMES else [])])


def _how_many(ties: Ties) -> str:
    tied, others = len(ties.tied), len(ties.tied) + len(ties.apart) + len(ties.ahead)
    best = "the best on validation"
    which = "tested" if ties.untested or ties.unknown else "other"
    if ties.ahead:
        counts = {"worse": len(ties.apart), "better at the shared seeds": len(ties.ahead)}
        told = [f"{count} {words}" for words, count in counts.items() if count]
        told += [f"{tied} not to be told from it"] * bool(tied)
        return f"of the other {others} compared with {best}: {', '.join(told)}"
    if others == 1:
        return f"the {which} setting {'cannot be told from' if tied else 'is worse than'} {best}"
    if tied == others:
        return f"none of the {which} {others} settings can be told from {best}"
    if tied == 0:
        return f"the {which} {others} settings are worse than {best}"
    return f"{tied} of the {which} {others} settings cannot be told from {best}"
