"""Diagnosis of a run: what probably went wrong, each with the setting that follows."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from kdrun.analysis.certainty import doubts
from kdrun.analysis.divergence import divergence
from kdrun.report.advice import longer, lower_rate
from kdrun.report.gain_diagnosis import Choices, tied_pilots, ungained
from kdrun.report.metric_terms import Lines
from kdrun.report.resolution import unresolved
from kdrun.store.files import read_json_lines
from kdrun.store.finished_runs import read_choices
from kdrun.store.run_folder import METRICS
from kdrun.store.summary import (
    Entry,
    group_of,
    groups,
    places,
    stage_title,
    tests,
)

RISE, FALL = 0.02, 0.03
"""Differences of validation accuracy from which it still rises, or fell after its best epoch."""

ANOTHER_TEACHER = "teacher.weights=null"
"""What trains a teacher here in place of given weights."""


def diagnose_folder(folder: Path, summary: Entry) -> list[str]:
    """`diagnosis` of a run's summary, and of the metrics and choices of T in its folder."""
    return diagnosis(summary, read_json_lines(folder / METRICS), read_choices(folder))


def diagnosis(summary: Entry, metrics: Lines, choices: Choices = ()) -> list[str]:
    """A line for each fault that the numbers show, which ends in a setting; [] for none.

    Args:
        summary: of the run.
        metrics: of its stages.
        choices: of T by temperature=auto.
    """
    parts = (weak_teachers, doubted_teachers, diverged, unfinished, worse_than_best)
    lines = [line for part in parts for line in part(summary, metrics)]
    lines += ungained(summary, metrics, choices)
    lines += tied_pilots(choices, error(best_pilot(choices), held_out(summary)))
    return [*lines, *unresolved(summary)]


def best_pilot(choices: Choices) -> float:
    """The best accuracy of any pilot; 0 without pilots."""
    pilots = (one["validation"] for choice in choices for one in choice.get("pilots", ()))
    return max((value for value in pilots if value is not None), default=0.0)


def weak_teachers(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Teachers whose accuracy is not, or not clearly, above the control's."""
    control = group_of(summary, "control")
    for group in groups(summary):
        if group[0]["role"] != "teacher" or not control:
            continue
        (ours, theirs), images = compared(group, control)
        if ours > theirs or ours == theirs == 1:
            continue
        number = held_out(summary) if images == "validation" else summary["test_images"]
        near = theirs - ours <= error(theirs, number)
        epochs = group[0]["epochs"]
        remedy = (
            f"train it longer or take a larger one: {longer(summary, group[0])}"
            if epochs
            else "give other weights, or teacher.normalization as they were trained with, or train "
            f"it here: {ANOTHER_TEACHER}"
        )
        yield (
            f"{'' if epochs else 'the given '}{stage_title(group[0])} is "
            f"{'not clearly' if near else 'no'} better than the control, {ours:.2%} against "
            f"{theirs:.2%} of the {images} images"
            f"{'' if near else ', and has nothing to teach it'}; {remedy}"
        )


def compared(ours: Sequence[Entry], theirs: Sequence[Entry]) -> tuple[list[float], str]:
    """Mean accuracies of two groups on validation images, or test images without those."""
    both = [[stage["accuracy"]["best_validation"] for stage in group] for group in (ours, theirs)]
    if any(value is None for values in both for value in values):
        return [mean(tests(list(group))) for group in (ours, theirs)], "test"
    return [mean(values) for values in both], "validation"


def doubted_teachers(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Teachers whose outputs are nearly uniform or far from calibrated."""

    def doubt(stage: Entry, lines: Lines) -> str | None:
        found = next(doubts(stage["certainty"]), None) if "certainty" in stage else None
        remedy = longer(summary, stage) if stage["epochs"] else ANOTHER_TEACHER
        passed = stage["role"] == "generation" or divergence(lines, len(stage["class_names"]))
        return f"{found}: {remedy}" if found and not passed else None

    yield from by_group(summary, metrics, doubt)


def diverged(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Stages whose loss rose."""

    def rise(stage: Entry, lines: Lines) -> str | None:
        found = divergence(lines, len(stage["class_names"]))
        return found and f"{found}: {lower_rate(summary, stage, peak(lines) / 10)}"

    yield from by_group(summary, metrics, rise)


def peak(lines: Lines) -> float:
    """The highest learning rate; 0 where an earlier kdrun did not note it."""
    return max((float(line["lr"]) for line in lines if "lr" in line), default=0.0)


def unfinished(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Stages whose validation accuracy still rose at the last epoch."""
    images = held_out(summary)

    def rising(stage: Entry, lines: Lines) -> str | None:
        values = validation(lines)
        if len(values) < 3 or values[-1] < max(values):
            return None
        span = max(1, len(values) // 5)
        rise = values[-1] - values[-1 - span]
        if rise <= max(RISE, 2 * error(values[-1], images)):
            return None
        return (
            f"was still learning at its last epoch ({100 * rise:+.1f} points of validation "
            f"accuracy in the last {span if span > 1 else 'one'}): {longer(summary, stage)}"
        )

    yield from by_group(summary, metrics, rising)


def worse_than_best(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Stages whose last epoch is far below their best on validation."""
    images = held_out(summary)

    def fallen(stage: Entry, lines: Lines) -> str | None:
        values = validation(lines)
        if not values or max(values) - values[-1] <= max(FALL, 3 * error(max(values), images)):
            return None
        return (
            f"fell from {max(values):.2%} of validation in epoch {stage['best_epoch']} to "
            f"{values[-1]:.2%} in the last; train.ema=0.99 may help, or a lower rate: "
            f"{lower_rate(summary, stage, peak(lines) / 3)}"
        )

    yield from by_group(summary, metrics, fallen)


def by_group(
    summary: Entry, metrics: Lines, told: Callable[[Entry, Lines], str | None]
) -> Iterator[str]:
    """A line for each model of which at least half the seeds are told something.

    Numbers are one seed's, which is named.
    """
    for group in groups(summary):
        found = {
            place: one
            for place in places(summary, group)
            if (one := told(summary["stages"][place], of_place(metrics, place)))
        }
        if found and 2 * len(found) >= len(group):
            place = next(iter(found))
            seed = summary["stages"][place].get("seed")
            several = f" (in {len(found)} of {len(group)} seeds, told of seed {seed})"
            yield f"{stage_title(group[0])}{several * (len(group) > 1)} {found[place]}"


def of_place(metrics: Lines, place: int) -> list[Mapping[str, Any]]:
    """The lines of a stage."""
    return [line for line in metrics if line["stage"] == place]


def validation(lines: Lines) -> list[float]:
    """Validation accuracies by epoch; [] where nothing is held out."""
    values = [line["validation_accuracy"] for line in lines]
    return [] if None in values else [float(value) for value in values]


def held_out(summary: Entry) -> int | None:
    """How many validation images the accuracies are of at least, where a stage tells."""
    return next((s["certainty"]["images"] for s in summary["stages"] if "certainty" in s), None)


def error(accuracy: float, images: int | None) -> float:
    """The standard error of an accuracy; 0 on an unknown number of images.

    Of (k + 1) / (n + 2), by Laplace's rule: all of a few images being right says little of others.
    """
    if images is None:
        return 0.0
    smoothed = (accuracy * images + 1) / (images + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (images + 2))
