"""Gains of a run's models over each other, as `gains` of `summary.json` lists them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from kdrun.errors import DamagedError
from kdrun.report.paired_gain import MCNEMAR, PAIRED_T, Discordant, PairedGain, paired_gain
from kdrun.store.correct_images import Correct, CorrectImages
from kdrun.store.summary import Entry, group_of, groups, places, result_of, stage_title

ACCURACIES = {"test": "test_at_best_validation", "validation": "best_validation"}
"""Split -> the accuracy of a stage's summary that is compared."""

Group = Sequence[Entry]
"""The stages that differ in the seed alone."""


def compared_groups(summary: Entry) -> Iterator[tuple[list[Entry], list[Entry]]]:
    """Student over control and direct student, and each generation over the one before."""
    result = result_of(summary)
    for role in ("control", "direct"):
        rival = group_of(summary, role)
        if result and rival:
            yield result, rival
    generations = [group for group in groups(summary) if group[0]["role"] == "generation"]
    for before, after in pairwise(generations):
        yield after, before


def compared_places(summary: Entry) -> list[int]:
    """The places of the stages that are compared, in the run or with other runs."""
    pairs = [(result_of(summary),), *compared_groups(summary)]
    return sorted({n for pair in pairs for group in pair for n in places(summary, group)})


def run_gains(summary: Entry, correct: CorrectImages) -> list[dict[str, Any]]:
    """The entries of `gains`: of test, and of validation where there is one.

    Args:
        summary: with its stages.
        correct: the images that the compared models get right; read for a single seed.
    """
    found = []
    for ours, theirs in compared_groups(summary):
        sides = [[correct.get(n, {}) for n in places(summary, group)] for group in (ours, theirs)]
        for split in ACCURACIES:
            images = discordant(*(side[0].get(split) for side in sides))
            gain = stages_gain(ours, theirs, split, images)
            if gain is not None:
                names = stage_title(ours[0]), stage_title(theirs[0])
                found.append(gain_entry(*names, split, gain))
    return found


def stages_gain(
    ours: Group, theirs: Group, split: str, images: Discordant | None = None
) -> PairedGain | None:
    """Gain of a group over another at the seeds that both have; None without an accuracy."""
    sides = [
        {stage.get("seed"): stage["accuracy"].get(ACCURACIES[split]) for stage in group}
        for group in (ours, theirs)
    ]
    seeds = [seed for seed in sides[0] if None not in (sides[0][seed], sides[1].get(seed))]
    if not seeds:
        return None
    accuracies = [[side[seed] for seed in seeds] for side in sides]
    return paired_gain(accuracies[0], accuracies[1], images)


def discordant(ours: Correct | None, theirs: Correct | None) -> Discordant | None:
    """The images that one of two models gets right; None where they may not be the same."""
    if ours is None or theirs is None:
        return None
    if (ours.images, ours.source) != (theirs.images, theirs.source):
        return None
    return Discordant(ours.only(theirs), theirs.only(ours), ours.images)


def gain_entry(model: str, over: str, split: str, gain: PairedGain) -> dict[str, Any]:
    """An entry of `gains`."""
    return {"model": model, "over": over, "split": split} | asdict(gain)


def recorded_gain(summary: Entry, model: str, over: str, split: str) -> PairedGain | None:
    """An entry of the summary's `gains`; None where it has none.

    Raises:
        DamagedError: it is not as kdrun writes it.
    """
    try:
        for entry in summary.get("gains", []):
            if (entry["model"], entry["over"], entry["split"]) == (model, over, split):
                return read_gain(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"the summary's gains are not of this kdrun ({error!r})") from error
    return None


def read_gain(entry: Entry) -> PairedGain:
    """The gain of an entry; raises what malformed data raises."""
    numbers = {name: entry[name] for name in ("points", "low", "high", "p")}
    counts = {name: entry[name] for name in ("seeds", "only_ours", "only_theirs")}
    if not all(value is None or math.isfinite(value) for value in numbers.values()):
        raise ValueError("a number is not finite")
    if not all(value is None or isinstance(value, int) for value in counts.values()):
        raise ValueError("a count is not whole")
    tests = {MCNEMAR: counts["only_ours"] is not None, PAIRED_T: counts["seeds"] > 1, None: True}
    if not tests[entry["test"]] or numbers["points"] is None:
        raise ValueError("a test without its numbers")
    return PairedGain(test=entry["test"], **numbers, **counts)


def gain_between(summary: Entry, ours: Group, theirs: Group, split: str) -> PairedGain | None:
    """The recorded gain of a group over another; of an older run from the accuracies alone."""
    names = stage_title(ours[0]), stage_title(theirs[0])
    return recorded_gain(summary, *names, split) or stages_gain(ours, theirs, split)
