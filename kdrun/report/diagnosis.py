"""Diagnosis of a run: probable faults, each with an advised setting."""

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
"""Least differences of validation accuracy that count as rising, or as fallen after the best."""

ANOTHER_TEACHER = "teacher.weights=null"
"""Override that trains a teacher instead of loading given weights."""


def diagnose_folder(folder: Path, summary: Entry) -> list[str]:
    """Diagnose a run from its summary and from the metrics and choices of T in its folder."""
    return diagnosis(summary, read_json_lines(folder / METRICS), read_choices(folder))


def diagnosis(summary: Entry, metrics: Lines, choices: Choices = ()) -> list[str]:
    """Return one line per fault, ending with the advised setting.

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
    """Teachers that are not, or not clearly, more accurate than the control."""
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
            f"train it longer or use a larger one: {longer(summary, group[0])}"
            if epochs
            else "use other weights, set teacher.normalization to the one they were trained with, "
            f"or train a teacher: {ANOTHER_TEACHER}"
        )
        yield (
            f"{'' if epochs else 'the given '}{stage_title(group[0])} is "
            f"{'not clearly' if near else 'no'} better than the control, {ours:.2%} against "
            f"{theirs:.2%} of the {images} images"
            f"{'' if near else ', so it has nothing to teach'}; {remedy}"
        )


def compared(ours: Sequence[Entry], theirs: Sequence[Entry]) -> tuple[list[float], str]:
    """Mean accuracies of two groups on validation images, or on test images without any."""
    both = [[stage["accuracy"]["best_validation"] for stage in group] for group in (ours, theirs)]
    if any(value is None for values in both for value in values):
        return [mean(tests(list(group))) for group in (ours, theirs)], "test"
    return [mean(values) for values in both], "validation"


def doubted_teachers(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Teachers with nearly uniform or badly calibrated outputs."""

    def doubt(stage: Entry, lines: Lines) -> str | None:
        found = next(doubts(stage["certainty"]), None) if "certainty" in stage else None
        remedy = longer(summary, stage) if stage["epochs"] else ANOTHER_TEACHER
        passed = stage["role"] == "generation" or divergence(lines, len(stage["class_names"]))
        return f"{found}: {remedy}" if found and not passed else None

    yield from by_group(summary, metrics, doubt)


def diverged(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Stages with a diverged loss."""

    def rise(stage: Entry, lines: Lines) -> str | None:
        found = divergence(lines, len(stage["class_names"]))
        return found and f"{found}: {lower_rate(summary, stage, peak(lines) / 10)}"

    yield from by_group(summary, metrics, rise)


def peak(lines: Lines) -> float:
    """The highest learning rate, or 0 if an earlier kdrun did not record it."""
    return max((float(line["lr"]) for line in lines if "lr" in line), default=0.0)


def unfinished(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Stages that still improved on validation at the last epoch."""
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
    """Stages that ended far below their best validation accuracy."""
    images = held_out(summary)

    def fallen(stage: Entry, lines: Lines) -> str | None:
        values = validation(lines)
        if not values or max(values) - values[-1] <= max(FALL, 3 * error(max(values), images)):
            return None
        return (
            f"fell from {max(values):.2%} validation accuracy in epoch {stage['best_epoch']} to "
            f"{values[-1]:.2%} in the last; try train.ema=0.99 or a lower learning rate: "
            f"{lower_rate(summary, stage, peak(lines) / 3)}"
        )

    yield from by_group(summary, metrics, fallen)


def by_group(
    summary: Entry, metrics: Lines, diagnose: Callable[[Entry, Lines], str | None]
) -> Iterator[str]:
    """Return one line per model that is diagnosed for at least half its seeds.

    The numbers are from one seed, which is named.
    """
    for group in groups(summary):
        found = {
            place: one
            for place in places(summary, group)
            if (one := diagnose(summary["stages"][place], of_place(metrics, place)))
        }
        if found and 2 * len(found) >= len(group):
            place = next(iter(found))
            seed = summary["stages"][place].get("seed")
            several = f" (in {len(found)} of {len(group)} seeds, shown for seed {seed})"
            yield f"{stage_title(group[0])}{several * (len(group) > 1)} {found[place]}"


def of_place(metrics: Lines, place: int) -> list[Mapping[str, Any]]:
    """The metrics of one stage."""
    return [line for line in metrics if line["stage"] == place]


def validation(lines: Lines) -> list[float]:
    """Validation accuracies by epoch; empty without validation images."""
    values = [line["validation_accuracy"] for line in lines]
    return [] if None in values else [float(value) for value in values]


def held_out(summary: Entry) -> int | None:
    """Number of validation images, if a stage records it."""
    return next((s["certainty"]["images"] for s in summary["stages"] if "certainty" in s), None)


def error(accuracy: float, images: int | None) -> float:
    """Standard error of an accuracy; 0 for an unknown number of images.

    Uses Laplace's rule (k + 1) / (n + 2): a perfect score on a few images proves little.
    """
    if images is None:
        return 0.0
    smoothed = (accuracy * images + 1) / (images + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (images + 2))
