"""Consistency checks between a run's gains, accuracies and correct images."""

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError
from kdrun.report.chain_tables import ensemble_names
from kdrun.report.gains import ACCURACIES, compared_groups, gain_entry, read_gain, run_gains
from kdrun.report.paired_gain import MCNEMAR, Discordant, PairedGain, mcnemar, paired_gain
from kdrun.store.correct_images import CorrectImages, read_correct, same_images
from kdrun.store.run_folder import CORRECT, SUMMARY
from kdrun.store.stage_figures import run_faults
from kdrun.store.summary import Entry, places, seeds

ROUNDING = 1e-6

TURNED = 0.005
"""Share of images whose prediction may change when a model is evaluated again.

A stored stage may have been evaluated on another device or by other kernels.
"""


def check_figures(folder: Path, summary: Entry) -> None:
    """Check that a run's gains match its accuracies, and these its correct images.

    Values may be missing only for a known reason: train accuracy of given weights, validation
    without validation images.

    Raises:
        DamagedError: they do not match.
    """
    if fault := next(run_faults(summary["stages"]), None):
        raise DamagedError(f"{folder / SUMMARY} is damaged: {fault}")
    correct = read_correct(folder)
    fault = next(chain(_right_faults(summary, correct), _pair_faults(summary, correct)), None)
    if fault is not None:
        raise DamagedError(f"{folder / CORRECT} is damaged: {fault}")
    try:
        fault = next(_gain_faults(summary, correct), None)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DamagedError(
            f"{folder / SUMMARY}: gains not written by this version of kdrun ({error!r})"
        ) from error
    if fault is not None:
        raise DamagedError(f"{folder / SUMMARY} is damaged: {fault}")


def _right_faults(summary: Entry, correct: CorrectImages) -> Iterator[str]:
    """Counts of correct images that contradict the accuracies."""
    stages = summary["stages"]
    for place, splits in correct.items():
        if not 0 <= place < len(stages):
            yield f"it lists stage {place}, the run has {len(stages)} stages"
            continue
        for split in (split for split in ACCURACIES if split in splits):
            one, accuracy = splits[split], stages[place]["accuracy"].get(ACCURACIES[split])
            if split == "test" and one.images != summary["test_images"]:
                yield f"it covers {one.images} test images, the run has {summary['test_images']}"
            right = int.from_bytes(one.right, "big").bit_count()
            allowed = max(1 / one.images, TURNED) + ROUNDING
            if accuracy is not None and abs(right / one.images - accuracy) > allowed:
                yield (
                    f"stage {place} gets {right} of {one.images} {split} images right, "
                    f"{SUMMARY} says {accuracy:.2%}"
                )


def _pair_faults(summary: Entry, correct: CorrectImages) -> Iterator[str]:
    """Paired stages that were evaluated on different images."""
    for groups in compared_groups(summary):
        ours, theirs = (
            {summary["stages"][n].get("seed"): n for n in places(summary, group)}
            for group in groups
        )
        for seed in ours.keys() & theirs.keys():
            pair = ours[seed], theirs[seed]
            for split in ACCURACIES:
                if same_images(*(correct.get(n, {}).get(split) for n in pair)) is False:
                    yield f"stages {pair[0]} and {pair[1]} differ in their {split} images"


def _gain_faults(summary: Entry, correct: CorrectImages) -> Iterator[str]:
    """Recorded gains that contradict the accuracies and images."""
    recomputed = [*run_gains(summary, correct), *_ensemble_gains(summary)]
    expected = {_key(entry): read_gain(entry) for entry in recomputed}
    for entry in summary.get("gains", []):
        key, gain = _key(entry), read_gain(entry)
        name = f"the gain of {key[0]} over {key[1]} on {key[2]}"
        if gain.seeds != len(seeds(summary)) and key not in expected:
            yield f"{name} covers {gain.seeds} seeds, the run has {len(seeds(summary))}"
        counted = _counted(summary, key, gain)
        for other in filter(None, (_comparable(expected.get(key), gain), counted)):
            if field := _difference(gain, other):
                yield f"{name} has {field} {getattr(gain, field)}, not {getattr(other, field)}"


def _key(entry: Entry) -> tuple[str, str, str]:
    return entry["model"], entry["over"], entry["split"]


def _comparable(expected: PairedGain | None, recorded: PairedGain) -> PairedGain | None:
    """The expected gain, or None if the tests of one seed differ for lack of its images."""
    one_seed = expected is not None and expected.seeds == 1 and recorded.seeds == 1
    return None if one_seed and expected and expected.test != recorded.test else expected


def _counted(summary: Entry, key: tuple[str, str, str], gain: PairedGain) -> PairedGain | None:
    """The gain of one seed, recomputed from its discordant counts and the test images."""
    if gain.test != MCNEMAR or key[2] != "test":
        return None
    ours, theirs = gain.only_ours or 0, gain.only_theirs or 0
    return mcnemar(Discordant(ours, theirs, summary["test_images"]))


def _difference(gain: PairedGain, other: PairedGain) -> str | None:
    """The first field that differs by more than rounding."""
    for name in ("seeds", "test", "only_ours", "only_theirs"):
        if getattr(gain, name) != getattr(other, name):
            return name
    for name in ("points", "low", "high", "p"):
        one, two = getattr(gain, name), getattr(other, name)
        unlike = None in (one, two) and one is not two
        if unlike or (one is not None and not math.isclose(one, two, abs_tol=ROUNDING)):
            return name
    return None


def _ensemble_gains(summary: Entry) -> Iterator[dict[str, Any]]:
    """Gains of ensembles over ensembles of models from labels, with several seeds."""
    report = summary.get("born_again", {})
    independent = report.get("independent", {})
    for kind, ours in report.get("ensembles", {}).items():
        if kind in independent and len(ours) > 1:
            gain = paired_gain(ours, independent[kind])
            yield gain_entry(*ensemble_names(kind), "test", gain)
