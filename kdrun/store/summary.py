"""Reading of `summary.json`: stages grouped over seeds, and ranking of models."""

import math
from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any

Entry = Mapping[str, Any]


def groups(summary: Entry) -> list[list[Entry]]:
    """The stages in order, grouped if they differ only in the seed."""
    found: dict[tuple[Any, ...], list[Entry]] = {}
    for position, stage in enumerate(summary["stages"]):
        # Members of an ensemble of teachers differ only in their position.
        place = position // len(seeds(summary)) if stage["role"] == "teacher" else None
        key = (stage["role"], stage.get("step"), stage["arch"], place)
        found.setdefault(key, []).append(stage)
    return list(found.values())


def stage_title(stage: Entry) -> str:
    """`student resnet8`, `generation 1 resnet8`."""
    numbered = stage["role"] in ("generation", "independent")
    number = f" {stage['step']}" if numbered else ""
    return f"{stage['role']}{number} {stage['arch']}"


def places(summary: Entry, group: list[Entry]) -> list[int]:
    """Positions of a group's stages in the summary."""
    return [n for n, stage in enumerate(summary["stages"]) if any(stage is one for one in group)]


def seeds(summary: Entry) -> list[int]:
    """The seeds of the run."""
    return summary.get("seeds") or [summary["seed"]]


def group_of(summary: Entry, role: str) -> list[Entry]:
    """The last stage of the role for every seed; [] if there is none."""
    return next((group for group in reversed(groups(summary)) if group[0]["role"] == role), [])


def result_of(summary: Entry) -> list[Entry]:
    """The run's final models, one per seed: the student, or the last generation."""
    return group_of(summary, "student") or group_of(summary, "generation")


def student_place(summary: Entry) -> int:
    """Position of the run's main stage: the first seed's student, or the last non-control stage."""
    stages = summary["stages"]
    seed = stages[0].get("seed")
    for wanted in (("student",), ("generation", "assistant", "teacher")):
        places = [
            place
            for place, stage in enumerate(stages)
            if stage["role"] in wanted and stage.get("seed") == seed
        ]
        if places:
            return places[-1]
    return len(stages) - 1


def rank(
    validation: float | None, train: float | None, loss: float | None = None
) -> tuple[bool, float, float]:
    """Sort key: best validation accuracy first (training accuracy without a validation split).

    Ties go to the lower validation loss; models without validation come last. Never by test.

    Args:
        validation: accuracy.
        train: accuracy.
        loss: on validation; None for a run of an older version.
    """
    chosen = train if validation is None else validation
    return validation is None, -(chosen or 0.0), math.inf if loss is None else loss


def chosen_by(rows: Iterable[Mapping[str, Any]]) -> str:
    """The split for model selection: `training` if no model had validation images."""
    done = [row for row in rows if row["train"] is not None]
    return "training" if done and all(row["validation"] is None for row in done) else "validation"


def chosen_accuracy(row: Mapping[str, Any], chosen: str) -> float | None:
    """The accuracy of a row on the split from `chosen_by`."""
    value: float | None = row["train" if chosen == "training" else "validation"]
    return value


def mean_of(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """The mean of a field over the rows; None without rows, or if a row lacks the field."""
    found = [row[name] for row in rows]
    return None if not found or None in found else mean(found)


def tests(group: list[Entry]) -> list[float]:
    """Test accuracies as fractions, one per seed."""
    return [stage["accuracy"]["test_at_best_validation"] for stage in group]
