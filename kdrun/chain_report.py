"""What each step of a chain cost: one pass of the finished models over validation and test."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from kdrun.analysis import agreement, chain_differences, mean_kl, negative_log_likelihood
from kdrun.data.batch import Split
from kdrun.job import Job, Setting, Settings
from kdrun.planned_stage import ASSISTANT, GENERATION, STUDENT, TEACHER
from kdrun.stage_outputs import logits_on

Probabilities = Mapping[int, Tensor]
"""Position of a stage in the plan -> its (N, K) probabilities."""


def measured_splits(setting: Setting) -> dict[str, Split]:
    """The splits that results are reported on."""
    splits = {"validation": setting.data.validation, "test": setting.data.test}
    return {name: split for name, split in splits.items() if split is not None}


def chain_of(jobs: Sequence[Job], seed: int | None) -> list[list[int]]:
    """Positions of the models of one seed's chain by step; several teachers are one step."""
    steps: dict[int, list[int]] = {}
    for position, job in enumerate(jobs):
        stage = job.stage
        if stage.seed == seed and stage.role in (TEACHER, ASSISTANT, GENERATION, STUDENT):
            steps.setdefault(stage.step or 0, []).append(position)
    return [steps[step] for step in sorted(steps)]


def chain_report(
    jobs: Sequence[Job], settings: Settings, probs: Mapping[str, Probabilities]
) -> list[dict[str, Any]]:
    """For each seed the steps from the first teacher to the student, and the whole way.

    Args:
        probs: split -> position -> probabilities of the best weights, of the chain's models.
    """
    return [_one_chain(jobs, seed, setting, probs) for seed, setting in settings.items()]


def _one_chain(
    jobs: Sequence[Job],
    seed: int | None,
    setting: Setting,
    probs: Mapping[str, Probabilities],
) -> dict[str, Any]:
    chain = chain_of(jobs, seed)
    sizes = [sum(jobs[position].parameters for position in step) for step in chain]
    names = [" + ".join(jobs[position].stage.model.arch for position in step) for step in chain]
    weights = jobs[chain[1][0]].stage.teacher_weights
    labels = {name: split.labels for name, split in measured_splits(setting).items()}
    measured = {
        name: step_costs([mixed(probs[name], step, weights) for step in chain], labels[name])
        for name in labels
    }
    steps: list[dict[str, Any]] = [
        {
            "step": number + 1,
            "teacher": teacher,
            "student": student,
            "parameters": sizes[number + 1],
            "ratio": sizes[number] / sizes[number + 1],
        }
        | {name: costs["steps"][number] for name, costs in measured.items()}
        for number, (teacher, student) in enumerate(pairwise(names))
    ]
    total = {name: costs["total"] for name, costs in measured.items()}
    return {"seed": seed, "steps": steps, "total": total}


def mixed(probs: Probabilities, positions: Sequence[int], weights: Sequence[float]) -> Tensor:
    """The probabilities of one model, or the weighted mean of an ensemble's."""
    shares = list(weights) if len(positions) > 1 and weights else [1.0] * len(positions)
    parts = [share * probs[i] for share, i in zip(shares, positions, strict=True)]
    return sum(parts[1:], start=parts[0]) / sum(shares)


def step_costs(models: Sequence[Tensor], labels: Tensor) -> dict[str, Any]:
    """The differences from model to model, and of the last from the first.

    Args:
        models: (N, K) probabilities of the teacher, each assistant and the student.
        labels: (N,) class indices.
    """
    losses = [negative_log_likelihood(probs, labels) for probs in models]
    errors = [(probs.argmax(dim=1) != labels).double().mean().item() for probs in models]
    divergences = [mean_kl(student, teacher) for teacher, student in pairwise(models)]
    agreements = [agreement(student, teacher) for teacher, student in pairwise(models)]
    differences = chain_differences(losses, errors, divergences)
    steps = [
        vars(step) | {"kl": divergence, "agreement": agreed}
        for step, divergence, agreed in zip(differences.steps, divergences, agreements, strict=True)
    ]
    total = {
        "loss_difference": differences.loss_difference,
        "error_difference": differences.error_difference,
    }
    return {"steps": steps, "total": total}


def chain_probabilities(
    jobs: Sequence[Job], settings: Settings, roles: Sequence[str]
) -> dict[str, dict[int, Tensor]]:
    """split -> position -> probabilities at T = 1 of the best weights, of stages of such roles."""
    found: dict[str, dict[int, Tensor]] = {}
    for position, job in enumerate(jobs):
        if job.stage.role in roles:
            setting = settings[job.stage.seed]
            for name, logits in logits_on(job, setting, measured_splits(setting)).items():
                found.setdefault(name, {})[position] = logits.softmax(dim=1)
    return found
