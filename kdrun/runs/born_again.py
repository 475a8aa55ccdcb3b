"""Born-again runs: early stopping, accuracies of generations, ensembles."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from torch import Tensor

from kdrun.analysis.ensembles import arithmetic_ensemble, logit_ensemble
from kdrun.evaluation.predictions import REPORTED, Predictions, check_same_images
from kdrun.evaluation.right_images import packed
from kdrun.evaluation.run_predictions import RunPredictions, probabilities
from kdrun.plan.controls import controls
from kdrun.plan.stage import CONTROL, DIRECT, GENERATION, INDEPENDENT
from kdrun.report.chain_tables import ensemble_names
from kdrun.report.gains import discordant, gain_entry
from kdrun.report.paired_gain import paired_gain
from kdrun.runs.prepare import make_stage_run
from kdrun.training.context import ContextBySeed, StageRun

ENSEMBLES: Mapping[str, Callable[[Sequence[Predictions]], Tensor]] = {
    "arithmetic": lambda members: arithmetic_ensemble([probabilities(one) for one in members]),
    "geometric": lambda members: logit_ensemble([one.logits for one in members]),
}
"""Function from members to (N, K) probabilities of the ensemble."""


def stop_generations(
    stage_runs: list[StageRun], done: Sequence[Mapping[str, Any]], contexts: ContextBySeed
) -> list[StageRun]:
    """Return the stages without the generations after one that gained no more than noise.

    This is decided before the first stage of a generation. The corresponding models from labels
    are dropped too; controls are as long as the remaining chain.

    Args:
        stage_runs: stages of the whole plan.
        done: summaries of the finished stages.
    """
    following = stage_runs[len(done)].stage
    if following.role != GENERATION or (done[-1:] and done[-1]["step"] == following.step):
        return stage_runs
    accuracies = validation_by_generation(done)
    images = len(next(iter(contexts.values())).data.validation or ())
    if images == 0 or not stop_early(accuracies, images):
        return stage_runs
    return drop_generations(stage_runs, len(done), contexts)


def replay_stops(
    stage_runs: list[StageRun], stages: Sequence[Mapping[str, Any]], contexts: ContextBySeed
) -> list[StageRun]:
    """Return the stages of a finished run, after the early stopping by `stop_generations`.

    Args:
        stages: stages of the run's summary.
    """
    for done in range(1, len(stages)):
        stage_runs = stop_generations(stage_runs, stages[:done], contexts)
    return stage_runs


def drop_generations(
    stage_runs: list[StageRun], done: int, contexts: ContextBySeed
) -> list[StageRun]:
    """Return the stages without unfinished generations, with controls of the finished ones."""
    kept = list(stage_runs[:done])
    last = kept[-1].stage.step
    for stage in (stage_run.stage for stage_run in stage_runs[done:]):
        if stage.role in (DIRECT, CONTROL):
            pupils = [
                stage_run.stage
                for stage_run in stage_runs[:done]
                if stage_run.stage.seed == stage.seed
            ]
            left = [one for one in controls(pupils[1:]) if one.role == stage.role]
        else:
            left = [stage] if (stage.step or 0) <= (last or 0) else []
        kept += [make_stage_run(one, kept, contexts[one.seed]) for one in left]
    return kept


def validation_by_generation(stages: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Return the best validation accuracies as [generation][seed]."""
    return by_generation(stages, "best_validation")


def by_generation(stages: Sequence[Mapping[str, Any]], accuracy: str) -> list[list[float]]:
    """Return an accuracy of the summaries as [generation][seed]."""
    found: dict[int, list[float]] = {}
    for stage in stages:
        if stage["role"] == GENERATION:
            found.setdefault(stage["step"], []).append(stage["accuracy"][accuracy])
    return [found[step] for step in sorted(found)]


def generations_report(
    run: RunPredictions, stages: Sequence[Mapping[str, Any]], planned: int
) -> dict[str, Any]:
    """Return accuracies of the generations, their monotonicity, and the ensembles' on test.

    Args:
        stages: stages of the run's summary.
        planned: planned number of generations.
    """
    tests = by_generation(stages, "test_at_best_validation")
    report: dict[str, Any] = {
        "generations": len(tests),
        "planned": planned,
        "test": tests,
        "monotone": [is_monotone(list(seed)) for seed in zip(*tests, strict=True)],
        "ensembles": accuracies_of(ensemble_decisions(run, (GENERATION,), "test")),
    }
    if has_independent(run):
        report["independent"] = accuracies_of(ensemble_decisions(run, (INDEPENDENT,), "test"))
    return report


def has_independent(run: RunPredictions) -> bool:
    """Whether the run trained models from labels for comparison ensembles."""
    return any(stage_run.stage.role == INDEPENDENT for stage_run in run.stage_runs)


def ensemble_gains(run: RunPredictions) -> list[dict[str, Any]]:
    """Return entries of `gains`: each ensemble against one of as many models from labels."""
    if not has_independent(run):
        return []
    found = []
    for split in (split for split in REPORTED[::-1] if split in run.of(0)):
        ours, theirs = (ensemble_decisions(run, (r,), split) for r in (GENERATION, INDEPENDENT))
        for kind in ENSEMBLES:
            images = discordant(*(packed(side[kind][0]) for side in (ours, theirs)))
            gain = paired_gain(accuracies_of(ours)[kind], accuracies_of(theirs)[kind], images)
            found.append(gain_entry(*ensemble_names(kind), split, gain))
    return found


def ensemble_decisions(
    run: RunPredictions, roles: Sequence[str], split: str
) -> dict[str, list[Predictions]]:
    """Return the predictions of each kind of ensemble by seed; all include generation 0."""
    found: dict[str, list[Predictions]] = {kind: [] for kind in ENSEMBLES}
    for seed in run.contexts:
        members = [
            run.of(place)[split]
            for place, stage_run in enumerate(run.stage_runs)
            if stage_run.stage.seed == seed
            and (
                stage_run.stage.role in roles
                or (stage_run.stage.role == GENERATION and stage_run.stage.step == 0)
            )
        ]
        check_same_images(*members)
        for kind, ensemble in ENSEMBLES.items():
            found[kind].append(together(members, ensemble(members)))
    return found


def together(members: Sequence[Predictions], probs: Tensor) -> Predictions:
    """Return the predictions of an ensemble with these probabilities."""
    first, right = members[0], probs.argmax(dim=1) == members[0].labels
    seen = len(first.labels)
    return Predictions(
        probs.log(), first.labels, first.indices, seen, int(right.sum()), right, first.source
    )


def accuracies_of(decisions: Mapping[str, Sequence[Predictions]]) -> dict[str, list[float]]:
    """Return the accuracy of each kind of ensemble by seed."""
    return {kind: [one.correct / one.images for one in seeds] for kind, seeds in decisions.items()}


def stop_early(accuracies: Sequence[Sequence[float]], images: int) -> bool:
    """Whether the newest generation gained no more than noise, so that none should follow.

    A rule to save time, not a test: noise is one standard error of the paired difference over
    seeds, or for a single seed over the sample of images. Generation 0 alone never stops.

    Args:
        accuracies: validation accuracies as [generation][seed].
        images: number of images per accuracy, for the error with a single seed.
    """
    if len(accuracies) < 2:
        return False
    differences = [a - b for a, b in zip(accuracies[-1], accuracies[-2], strict=True)]
    if len(differences) > 1:
        return not fmean(differences) > stdev(differences) / math.sqrt(len(differences))
    return not differences[0] > binomial_error(accuracies[-1][0], accuracies[-2][0], images)


def binomial_error(our_accuracy: float, their_accuracy: float, images: int) -> float:
    """Return the standard error of the difference of two accuracies on `images` images each.

    sqrt((p(1-p) + q(1-q)) / images), as for independent samples. On the same images the errors of
    two models are correlated and the sampling error is smaller; the excess stands for the spread
    over seeds, unknown from a single seed.
    """
    if not (0 <= our_accuracy <= 1 and 0 <= their_accuracy <= 1 and images >= 1):
        raise ValueError(
            "a binomial error needs accuracies in [0, 1] and images >= 1, got "
            f"{our_accuracy}, {their_accuracy} and {images}"
        )
    variances = [accuracy * (1 - accuracy) for accuracy in (our_accuracy, their_accuracy)]
    return math.sqrt(sum(variances) / images)


def is_monotone(accuracies: Sequence[float]) -> bool:
    """Whether no generation is worse than the one before; reported, never assumed."""
    return all(earlier <= later for earlier, later in pairwise(accuracies))
