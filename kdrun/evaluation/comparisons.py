"""Pairs of models that are compared, and the measures of a pair."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from kdrun.analysis import agreement, ensemble_gradient_probe, generalization_bound, mean_kl
from kdrun.evaluation.predictions import Predictions, check_same_images
from kdrun.evaluation.run_predictions import ENSEMBLE, RunPredictions, probabilities
from kdrun.plan.build import head_of
from kdrun.plan.stage import Stage

TEACHER, ORIGIN = "teacher", "origin"
TAUGHT = (TEACHER, ENSEMBLE)
UNTAUGHT = ("control", "direct")
"""Roles of what a student is held against: no teacher at all, or no assistants."""

COARSE = (1.0, 2.0, 4.0, 8.0, 16.0)
FINE = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 32.0, 64.0, 128.0)
MOST_CONFUSIONS = 10


@dataclass(frozen=True)
class Comparison:
    """Two models by their stages' places in the plan, and what the other is to the student.

    Attributes:
        others: the other's place; several are averaged, as teachers are.
        kind: `teacher` (it was taught by it), `ensemble` (by these together), `origin` (the head
            of its chain), or the role of the stage it competes with: `control`, `direct`.
    """

    student: int
    others: tuple[int, ...]
    kind: str


def comparisons(stages: Sequence[Stage]) -> list[Comparison]:
    """Every taught stage with its teachers, one by one and together, and its origin and rivals."""
    found = []
    for place, stage in enumerate(stages):
        if not stage.teachers:
            continue
        found += [Comparison(place, (teacher,), TEACHER) for teacher in stage.teachers]
        if len(stage.teachers) > 1:
            found.append(Comparison(place, stage.teachers, ENSEMBLE))
        head = head_of(stages, place)
        if head != stage.teachers:
            found.append(Comparison(place, head, ORIGIN))
        if stage.role not in UNTAUGHT:
            found += [
                Comparison(place, (rival,), stages[rival].role) for rival in rivals(stages, place)
            ]
    return found


def rivals(stages: Sequence[Stage], place: int) -> list[int]:
    """The controls and direct students of the same network and the same seed of the run.

    Not of the same training seed, which is another one in each generation.
    """
    return [
        number
        for number, stage in enumerate(stages)
        if stage.role in UNTAUGHT
        and stage.model == stages[place].model
        and stage.seed == stages[place].seed
    ]


def pair_measures(
    run: RunPredictions, one: Comparison, used: Sequence[float], full: bool
) -> dict[str, Any]:
    """Fidelity, bounds, gradients and differing decisions on each split.

    Args:
        used: temperatures of the training, which the gradients are looked at beside the others.
    """
    temperatures = sorted({*(FINE if full else COARSE), *used})
    student, other = run.of(one.student), run.of_all(one.others)
    weights = run.weights(one.others) if len(one.others) > 1 else None
    measured = {}
    for name in student:
        check_same_images(student[name], *(run.of(place)[name] for place in one.others))
        members = [run.of(place)[name].logits for place in one.others]
        probe = ensemble_gradient_probe(
            student[name].logits, members, student[name].labels, temperatures, weights
        )
        measured[name] = split_pair(student[name], other[name]) | {"gradient_probe": asdict(probe)}
    return measured


def split_pair(student: Predictions, other: Predictions) -> dict[str, Any]:
    """The measures at T = 1 of two models' answers to the same images."""
    check_same_images(student, other)
    ours, theirs = probabilities(student), probabilities(other)
    return {
        "images": len(student.labels),
        "agreement": agreement(ours, theirs),
        "mean_kl": mean_kl(ours, theirs),
        "bound": asdict(generalization_bound(ours, theirs, student.labels)),
        "confusions": confusion_differences(student, other),
    }


def confusion_differences(student: Predictions, other: Predictions) -> list[dict[str, int]]:
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


def mistakes(answers: Predictions) -> Tensor:
    """(K, K) numbers of images of each class (row) taken for another."""
    classes = answers.logits.shape[1]
    cells = answers.labels * classes + answers.logits.argmax(dim=1)
    counts = torch.bincount(cells, minlength=classes * classes)
    return counts.view(classes, classes).fill_diagonal_(0)
