"""Gains of a run's models over each other: the `gains` of `summary.json`."""

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
"""Split -> the compared accuracy in a stage's summary."""

Group = Sequence[Entry]
"""Stages that differ only in the seed."""


def compared_groups(summary: Entry) -> Iterator[tuple[list[Entry], list[Entry]]]:
    """Pairs of groups: student and control, student and direct student, successive generations."""
    result = result_of(summary)
    for role in ("control", "direct"):
        rival = group_of(summary, role)
        if result and rival:
            yield result, rival
    generations = [group for group in groups(summary) if group[0]["role"] == "generation"]
    for before, after in pairwise(generations):
        yield after, before


def compared_places(summary: Entry) -> list[int]:
    """Places of the stages that are compared, within the run or with other runs."""
    pairs = [(result_of(summary),), *compared_groups(summary)]
    return sorted({n for pair in pairs for group in pair for n in places(summary, group)})


def run_gains(summary: Entry, correct: CorrectImages) -> list[dict[str, Any]]:
    """Compute the entries of `gains` on test and, if present, validation.

    Args:
        summary: with its stages.
        correct: images that the compared models classify correctly; read for a single seed.
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
    """Gain of one group over another at their common seeds; None without an accuracy."""
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
    """Images that only one of two models gets right; None if the images may differ."""
    if ours is None or theirs is None:
        return None
    if (ours.images, ours.source) != (theirs.images, theirs.source):
        return None
    return Discordant(ours.only(theirs), theirs.only(ours), ours.images)


def gain_entry(model: str, over: str, split: str, gain: PairedGain) -> dict[str, Any]:
    """Create an entry of `gains`."""
    return {"model": model, "over": over, "split": split} | asdict(gain)


def recorded_gain(summary: Entry, model: str, over: str, split: str) -> PairedGain | None:
    """Look up an entry of the summary's `gains`; None if missing.

    Raises:
        DamagedError: the gains are malformed.
    """
    try:
        for entry in summary.get("gains", []):
            if (entry["model"], entry["over"], entry["split"]) == (model, over, split):
                return read_gain(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(
            f"the summary's gains were not written by this version of kdrun ({error!r})"
        ) from error
    return None


def read_gain(entry: Entry) -> PairedGain:
    """Parse an entry of `gains`; malformed data raises KeyError, TypeError or ValueError."""
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
    """The recorded gain of one group over another, or one from the accuracies for an older run."""
    names = stage_title(ours[0]), stage_title(theirs[0])
    return recorded_gain(summary, *names, split) or stages_gain(ours, theirs, split)
