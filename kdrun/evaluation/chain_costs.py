"""Costs of each step of a chain, for `summary.json` and `analysis.json`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from kdrun.analysis import agreement, chain_differences, mean_kl, negative_log_likelihood
from kdrun.evaluation.predictions import REPORTED, Predictions, check_same_images
from kdrun.evaluation.run_predictions import RunPredictions, probabilities
from kdrun.plan.stage import GENERATION, STUDENT
from kdrun.training.context import StageRun


def chain_to(stage_runs: Sequence[StageRun], place: int) -> list[tuple[int, ...]]:
    """Places of the models of a chain, head first; several teachers form one step."""
    chain: list[tuple[int, ...]] = [(place,)]
    while teachers := stage_runs[chain[0][0]].stage.teachers:
        chain.insert(0, teachers)
    return chain


def chain_report(run: RunPredictions) -> list[dict[str, Any]]:
    """Costs of each step and of the whole chain, for each seed."""
    return [
        {"seed": seed} | one_chain(run, chain_to(run.stage_runs, last_pupil(run.stage_runs, seed)))
        for seed in run.contexts
    ]


def last_pupil(stage_runs: Sequence[StageRun], seed: int | None) -> int:
    """Place of the last model of a seed's chain."""
    return max(
        place
        for place, stage_run in enumerate(stage_runs)
        if stage_run.stage.seed == seed and stage_run.stage.role in (GENERATION, STUDENT)
    )


def one_chain(run: RunPredictions, chain: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Names, sizes and costs of a chain's steps on validation and test."""
    sizes = [sum(run.stage_runs[place].parameters for place in step) for step in chain]
    names = [" + ".join(run.stage_runs[place].stage.model.arch for place in step) for step in chain]
    measured = chain_costs(run, chain)
    steps: list[dict[str, Any]] = [
        {
            "step": number + 1,
            "teacher": teacher,
            "student": student,
            "parameters": sizes[number + 1],
            "ratio": sizes[number] / sizes[number + 1],
        }
        | {split: costs["steps"][number] for split, costs in measured.items()}
        for number, (teacher, student) in enumerate(pairwise(names))
    ]
    return {"steps": steps, "total": {split: costs["total"] for split, costs in measured.items()}}


def chain_costs(run: RunPredictions, chain: Sequence[Sequence[int]]) -> dict[str, dict[str, Any]]:
    """Differences from model to model and from first to last, by split."""
    models = [run.of_all(step) for step in chain]
    return {
        split: step_costs([model[split] for model in models])
        for split in REPORTED
        if split in models[0]
    }


def step_costs(models: Sequence[Predictions]) -> dict[str, Any]:
    """The `steps` and the `total` of a chain's predictions, teacher first."""
    check_same_images(*models)
    probs = [probabilities(model) for model in models]
    losses = [negative_log_likelihood(p, one.labels) for p, one in zip(probs, models, strict=True)]
    errors = [1 - model.correct / model.images for model in models]
    divergences = [mean_kl(student, teacher) for teacher, student in pairwise(probs)]
    agreements = [agreement(student, teacher) for teacher, student in pairwise(probs)]
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
