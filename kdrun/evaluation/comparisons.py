"""Compared pairs of models, and their measures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kdrun.analysis import agreement, ensemble_gradient_probe, generalization_bound, mean_kl
from kdrun.evaluation.predictions import Predictions, check_same_images
from kdrun.evaluation.run_predictions import ENSEMBLE, RunPredictions, probabilities
from kdrun.plan.build import head_of
from kdrun.plan.stage import Stage

TEACHER, ORIGIN = "teacher", "origin"
TAUGHT = (TEACHER, ENSEMBLE)
UNTAUGHT = ("control", "direct")
"""Roles of a student's baselines: without a teacher, or without assistants."""

COARSE = (1.0, 2.0, 4.0, 8.0, 16.0)
FINE = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 32.0, 64.0, 128.0)
MOST_CONFUSIONS = 10


@dataclass(frozen=True)
class Comparison:
    """Two models by their stages' places in the plan, and their relation.

    Attributes:
        others: place of the other model; several are averaged, as teachers are.
        kind: `teacher` (of the student), `ensemble` (of its teachers), `origin` (head of its
            chain), or the role of its baseline: `control`, `direct`.
    """

    student: int
    others: tuple[int, ...]
    kind: str


def comparisons(stages: Sequence[Stage]) -> list[Comparison]:
    """Comparisons of distilled stages with their teachers, ensemble, origin and baselines."""
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
    """Places of the controls and direct students with the same network and run seed.

    The training seed is not compared, because it differs between generations.
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
    """Fidelity, bounds, gradients and confusions on each split.

    Args:
        used: temperatures of the training, added to the grid of the gradient probe.
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
    """Measures at T = 1 of two models' predictions on the same images."""
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
    """The confusions that differ most in number: label, decision, and count of each model."""
    ours, theirs = (confusions(predictions) for predictions in (student, other))
    classes = student.logits.shape[1]
    differences = {cell: abs(ours[cell] - theirs[cell]) for cell in ours | theirs}
    largest = sorted(differences, key=lambda cell: (-differences[cell], cell))[:MOST_CONFUSIONS]
    return [
        {
            "label": cell // classes,
            "decision": cell % classes,
            "student": ours[cell],
            "other": theirs[cell],
        }
        for cell in largest
        if differences[cell]
    ]


def confusions(answers: Predictions) -> Counter[int]:
    """Count the mistakes by label * K + decision: no more cells than images, for any K."""
    classes = answers.logits.shape[1]
    decided = answers.logits.argmax(dim=1)
    cells = (answers.labels * classes + decided)[decided != answers.labels]
    return Counter(cells.tolist())
