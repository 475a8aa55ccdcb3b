"""Which models of a run are compared, and what is measured of two of them, as JSON data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from kdrun.analysis import agreement, generalization_bound, gradient_probe, mean_kl
from kdrun.measurement.answers import Answers
from kdrun.plan import Stage
from kdrun.temperature import softmax_with_temperature

TEACHER, ORIGIN = "teacher", "origin"
UNTAUGHT = ("control", "direct")
"""Roles of what a student is held against: no teacher at all, or no assistants."""

COARSE = (1.0, 2.0, 4.0, 8.0, 16.0)
FINE = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 32.0, 64.0, 128.0)
MOST_CONFUSIONS = 10


@dataclass(frozen=True)
class Comparison:
    """Two stages by their places in the plan, and what the other is to the student.

    `kind`: `teacher` (it was taught by it), `origin` (the head of its chain), or the role of the
    stage it competes with: `control`, `direct`.
    """

    student: int
    other: int
    kind: str


def comparisons(stages: Sequence[Stage]) -> list[Comparison]:
    """Every taught stage with its teachers, the head of its chain, and what it competes with."""
    found = []
    for place, stage in enumerate(stages):
        if not stage.teachers:
            continue
        found += [Comparison(place, teacher, TEACHER) for teacher in stage.teachers]
        head = head_of(stages, place)
        if head not in stage.teachers:
            found.append(Comparison(place, head, ORIGIN))
        if stage.role not in UNTAUGHT:
            found += [
                Comparison(place, rival, stages[rival].role) for rival in rivals(stages, place)
            ]
    return found


def head_of(stages: Sequence[Stage], place: int) -> int:
    """The stage without teachers at which the chain of first teachers begins."""
    while stages[place].teachers:
        place = stages[place].teachers[0]
    return place


def rivals(stages: Sequence[Stage], place: int) -> list[int]:
    """The controls and direct students of the same network, of the same seed where there are."""
    same = [
        number
        for number, stage in enumerate(stages)
        if stage.role in UNTAUGHT and stage.model == stages[place].model
    ]
    seed = stages[place].train.seed
    return [number for number in same if stages[number].train.seed == seed] or same


def pair_measures(
    student: Mapping[str, Answers], other: Mapping[str, Answers], T: float, full: bool
) -> dict[str, Any]:
    """Fidelity, bounds, gradients and differing decisions on validation and test images."""
    temperatures = sorted({*(FINE if full else COARSE), T})
    return {
        name: split_pair(student[name], other[name], temperatures)
        for name in ("validation", "test")
        if name in student
    }


def split_pair(student: Answers, other: Answers, temperatures: Sequence[float]) -> dict[str, Any]:
    """The measures of two models' answers to the same images."""
    ours, theirs = (softmax_with_temperature(a.logits.double(), 1.0) for a in (student, other))
    return {
        "images": len(student.labels),
        "agreement": agreement(ours, theirs),
        "mean_kl": mean_kl(ours, theirs),
        "bound": asdict(generalization_bound(ours, theirs, student.labels)),
        "gradient_probe": asdict(
            gradient_probe(student.logits, other.logits, student.labels, temperatures)
        ),
        "confusions": confusion_differences(student, other),
    }


def confusion_differences(student: Answers, other: Answers) -> list[dict[str, int]]:
    """The mistakes whose numbers differ most: label, decision, how often each model makes it."""
    ours, theirs = (mistakes(answers) for answers in (student, other))
    difference = (ours - theirs).abs().flatten()
    largest, places = difference.sort(descending=True, stable=True)
    classes = student.logits.shape[1]
    return [
        {
            "label": place // classes,
            "decision": place % classes,
            "student": int(ours.flatten()[place]),
            "other": int(theirs.flatten()[place]),
        }
        for amount, place in zip(
            largest[:MOST_CONFUSIONS].tolist(), places[:MOST_CONFUSIONS].tolist(), strict=True
        )
        if amount
    ]


def mistakes(answers: Answers) -> Tensor:
    """(K, K) numbers of images of each class (row) taken for another."""
    classes = answers.logits.shape[1]
    cells = answers.labels * classes + answers.logits.argmax(dim=1)
    counts = torch.bincount(cells, minlength=classes * classes)
    return counts.view(classes, classes).fill_diagonal_(0)
