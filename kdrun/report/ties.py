"""Ties: settings that do not differ significantly from the best on validation."""

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
    """Validation accuracy of a model, with its correct images if known."""

    accuracy: float
    correct: Correct | None


Scores = Mapping[Any, Score]
"""Scores of a setting by seed."""


def scores_of(summary: Entry, correct: CorrectImages) -> dict[Any, Score]:
    """Scores of a run's student or last generation; empty without validation images."""
    result = result_of(summary)
    return {
        stage.get("seed", summary["seed"]): Score(accuracy, correct.get(place, {}).get(VALIDATION))
        for stage, place in zip(result, places(summary, result), strict=True)
        if (accuracy := stage["accuracy"]["best_validation"]) is not None
    }


VALIDATION = "validation"


def scores_gain(ours: Scores, theirs: Scores) -> PairedGain | None:
    """The paired difference of two settings at common seeds with the same images.

    None without common seeds.
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
    """The p values of comparisons with one setting, Holm-adjusted for more than `FEW` rows."""
    values = [None if gain is None else gain.p for gain in gains]
    return holm(values) if rows > FEW else values


def control_p_words(named: Sequence[tuple[str, PairedGain | None]]) -> str | None:
    """Note on the Holm-adjusted p of named gains over a control; None for few gains."""
    known = [(name, gain.p) for name, gain in named if gain is not None]
    if len(known) <= FEW:
        return None
    values = zip(known, holm([p for _, p in known]), strict=True)
    words = [f"{name}: {p_words(p)}" for (name, _), p in values]
    words = [*words[:MOST_NAMES], *(["..."] if len(words) > MOST_NAMES else [])]
    return (
        f"over control, p Holm-adjusted for {len(known)} comparisons (the intervals are not): "
        f"{'; '.join(words)}"
    )


@dataclass(frozen=True)
class Ties:
    """Places of the settings, from 1, compared with the best at place 0.

    Attributes:
        tied: not significantly different from the best.
        apart: significantly worse.
        ahead: significantly better at the common seeds, though not on average over their own.
        untested: equally different at all seeds, so without a spread for a test.
        unknown: not comparable.
        tests: names of the tests in use.
        holm: whether p values were adjusted for their number.
        shared: number of common seeds, if one of the two settings has more.
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
    """Compare every setting with the first, best one.

    Among equally good settings one comes first by chance, so others may test as worse; but the
    truly best setting tests as worse in at most 5 % of sweeps.
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
    """Select the list for a compared setting by its p and the sign of its difference."""
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
    """Note on the settings tied with the best: their number, the test and their names."""
    parts = []
    if ties.tied or ties.apart or ties.ahead:
        method = " and ".join(TESTS[name] for name in ties.tests)
        method += ", p Holm-adjusted" if ties.holm else ""
        shown = _few([names[place] for place in ties.tied])
        tied = f": {shown}" if shown and (ties.apart or ties.ahead) else ""
        parts.append(f"{_counts(ties)} at 95 % ({method}){tied}")
    if ties.untested:
        parts.append(
            f"{len(ties.untested)} untested, with the same difference at every seed: "
            f"{_few([names[place] for place in ties.untested])}"
        )
    if ties.shared:
        parts.append(f"compared at some seeds only: {_shared_words(ties, names)}")
    if MCNEMAR in ties.tests:
        parts.append(f"single models say nothing about the settings: {MORE_SEEDS}")
    if ties.unknown:
        parts.append(
            f"{len(ties.unknown)} could not be compared with the best: they share no seed, their "
            "validation images differ, or the runs have no record of their correct images"
        )
    return "; ".join(parts)


def _shared_words(ties: Ties, names: Sequence[str]) -> str:
    """The settings that were compared at some of their seeds only."""
    words = [
        f"{names[place]} (of {n} shared seed{'s' * (n > 1)})" for place, n in ties.shared.items()
    ]
    return _few(words)


def _few(names: Sequence[str]) -> str:
    """The first names in one line."""
    return ", ".join([*names[:MOST_NAMES], *(["..."] if len(names) > MOST_NAMES else [])])


def _counts(ties: Ties) -> str:
    """Numbers of tied, worse and better settings in words."""
    tied, others = len(ties.tied), len(ties.tied) + len(ties.apart) + len(ties.ahead)
    best = "the best on validation"
    which = "tested" if ties.untested or ties.unknown else "other"
    if ties.ahead:
        counts = {"worse": len(ties.apart), "better at the shared seeds": len(ties.ahead)}
        parts = [f"{count} {words}" for words, count in counts.items() if count]
        parts += [f"{tied} not significantly different"] * bool(tied)
        return f"of the other {others} compared with {best}: {', '.join(parts)}"
    if others == 1:
        verb = "does not differ significantly from" if tied else "is worse than"
        return f"the {which} setting {verb} {best}"
    if tied == others:
        return f"none of the {which} {others} settings differs significantly from {best}"
    if tied == 0:
        return f"the {which} {others} settings are worse than {best}"
    differ = "do not differ" if tied > 1 else "does not differ"
    return f"{tied} of the {which} {others} settings {differ} significantly from {best}"
