"""Diagnosis of a run: what probably went wrong, each with the setting that follows."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from kdrun.analysis.certainty import NEARLY_UNIFORM, doubts, share_at
from kdrun.analysis.divergence import divergence
from kdrun.catalog.terms import TERMS
from kdrun.report.resolution import gain_over_control, unresolved
from kdrun.store.files import read_json_lines
from kdrun.store.run_folder import METRICS
from kdrun.store.summary import (
    Entry,
    group_of,
    groups,
    places,
    result_of,
    stage_title,
    tests,
)

Lines = Sequence[Mapping[str, Any]]

RISE, FALL = 0.02, 0.03
"""Differences of validation accuracy from which it still rises, or fell after its best epoch."""

NOTHING_LEFT = 0.99
"""Share of log K from which the teacher's outputs at the T of training are uniform."""

MOSTLY_SOFT = 0.95

SOFT = {"soft", *(name for name, row in TERMS.items() if row.soft)}
"""Names of soft terms in metrics; `soft` before format 4."""


def diagnose_folder(folder: Path, summary: Entry) -> list[str]:
    """`diagnosis` of a run's summary and the metrics in its folder."""
    return diagnosis(summary, read_json_lines(folder / METRICS))


def diagnosis(summary: Entry, metrics: Lines) -> list[str]:
    """A line for each fault that the numbers show; [] where they show none."""
    parts = (weak_teachers, doubted_teachers, diverged, unfinished, worse_than_best)
    lines = [line for part in parts for line in part(summary, metrics)]
    return [*lines, *ungained(summary, metrics), *unresolved(summary)]


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
            f"chain.stage.0.train.epochs={2 * epochs}, or a larger teacher"
            if epochs
            else "other teacher.weights, or teacher.normalization as they were trained with"
        )
        yield (
            f"{'' if epochs else 'the given '}{stage_title(group[0])} is "
            f"{'not clearly' if near else 'no'} better than the control, {ours:.2%} against "
            f"{theirs:.2%} of the {images} images"
            f"{'' if near else ', and has nothing to teach it'}: {remedy}"
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
        longer = f"train.epochs={2 * stage['epochs']}"
        longer = longer if stage["epochs"] else "other teacher.weights, or teacher.normalization"
        passed = stage["role"] == "generation" or divergence(lines, len(stage["class_names"]))
        return f"{found}: {longer}" if found and not passed else None

    yield from by_group(summary, metrics, doubt)


def diverged(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Stages whose loss rose."""

    def rise(stage: Entry, lines: Lines) -> str | None:
        found = divergence(lines, len(stage["class_names"]))
        return found and f"{found}: train.lr={lines[0]['lr'] and peak(lines) / 10:.2g}"

    yield from by_group(summary, metrics, rise)


def peak(lines: Lines) -> float:
    """The highest learning rate."""
    return max(float(line["lr"]) for line in lines)


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
            f"accuracy in the last {span if span > 1 else 'one'}): "
            f"train.epochs={2 * len(values)}"
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
            f"{values[-1]:.2%} in the last: train.lr={peak(lines) / 3:.2g}, or train.ema=0.99"
        )

    yield from by_group(summary, metrics, fallen)


def by_group(
    summary: Entry, metrics: Lines, told: Callable[[Entry, Lines], str | None]
) -> Iterator[str]:
    """A line for each model of which at least half the seeds are told something."""
    for group in groups(summary):
        found = [
            told(summary["stages"][place], [line for line in metrics if line["stage"] == place])
            for place in places(summary, group)
        ]
        said = [one for one in found if one]
        if said and 2 * len(said) >= len(found):
            yield f"{stage_title(group[0])} {said[0]}"


def validation(lines: Lines) -> list[float]:
    """Validation accuracies by epoch; [] where nothing is held out."""
    values = [line["validation_accuracy"] for line in lines]
    return [] if None in values else [float(value) for value in values]


def held_out(summary: Entry) -> int | None:
    """How many validation images the accuracies are of at least, where a stage tells."""
    return next((s["certainty"]["images"] for s in summary["stages"] if "certainty" in s), None)


def error(accuracy: float, images: int | None) -> float:
    """The standard error of an accuracy; 0 on an unknown number of images."""
    return 0.0 if images is None else math.sqrt(accuracy * (1 - accuracy) / images)


def ungained(summary: Entry, metrics: Lines) -> Iterator[str]:
    """Settings of the soft term that may be why nothing was gained."""
    gain, result = gain_over_control(summary), result_of(summary)
    if gain is None or gain.points > 0:
        return
    place = places(summary, result)[0]
    lines = [line for line in metrics if line["stage"] == place]
    if not lines:
        return
    yield from too_soft(summary, stage_title(result[0]), lines[-1]["T"])
    shares = [soft_share(line["terms"]) for line in lines]
    known = [share for share in shares if share is not None]
    if known and mean(known) > MOSTLY_SOFT:
        yield (
            f"{stage_title(result[0])} gained nothing, and {mean(known):.0%} of its gradient came "
            "from the soft term: loss.alpha=0.5"
        )


def soft_share(terms: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The share of the gradient that comes from the soft terms; None where it is not known."""
    shares = [term["gradient_share"] for name, term in terms.items() if name in SOFT]
    return None if None in shares or not shares else sum(shares)


def too_soft(summary: Entry, title: str, T: float | str | None) -> Iterator[str]:
    """A T at which nothing is left of a teacher that is not uniform by itself."""
    teachers = group_of(summary, "teacher")
    if not teachers or "certainty" not in teachers[0] or not isinstance(T, int | float):
        return
    measures = teachers[0]["certainty"]
    share = share_at(measures, T)
    if share < NOTHING_LEFT or share_at(measures, 1.0) > NEARLY_UNIFORM:
        return
    sharper = [t for t in (1, 2, 4, 8, 16) if share_at(measures, t) <= NEARLY_UNIFORM]
    yield (
        f"{title} gained nothing, and at T={T:g} its teacher is uniform ({share:.1%} of the most "
        f"entropy there is): loss.T={max(sharper)}"
    )
