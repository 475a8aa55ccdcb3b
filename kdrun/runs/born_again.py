"""Born-again runs: early stop, gains of generations, ensembles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from torch import Tensor

from kdrun.analysis.ensembles import arithmetic_ensemble, logit_ensemble
from kdrun.evaluation.predictions import Answers
from kdrun.evaluation.run_predictions import RunAnswers, probabilities
from kdrun.plan.build import controls
from kdrun.plan.stage import CONTROL, DIRECT, GENERATION, INDEPENDENT
from kdrun.report.paired_gain import PairedGain, paired_gain
from kdrun.runs.prepare import make_job
from kdrun.training.context import Job, Settings

ENSEMBLES: Mapping[str, Callable[[Sequence[Answers]], Tensor]] = {
    "arithmetic": lambda members: arithmetic_ensemble([probabilities(one) for one in members]),
    "geometric": lambda members: logit_ensemble([one.logits for one in members]),
}
"""(N, K) probabilities of the members together."""


def without_useless(
    jobs: list[Job], done: Sequence[Mapping[str, Any]], settings: Settings
) -> list[Job]:
    """The jobs without the generations after one that gained no more than noise.

    Decided where the first stage of a generation is next. With the generations go the models from
    labels that would stand beside them; controls are as long as what is left.

    Args:
        jobs: of the whole plan.
        done: summaries of the stages before the next one.
    """
    following = jobs[len(done)].stage
    if following.role != GENERATION or (done[-1:] and done[-1]["step"] == following.step):
        return jobs
    accuracies = validation_by_generation(done)
    images = len(next(iter(settings.values())).data.validation or ())
    if images == 0 or not stop_early(accuracies, images):
        return jobs
    return shortened(jobs, len(done), settings)


def as_stopped(
    jobs: list[Job], stages: Sequence[Mapping[str, Any]], settings: Settings
) -> list[Job]:
    """The jobs of a finished run that was to stop early: what `without_useless` left of them.

    Args:
        stages: of the run's summary.
    """
    for done in range(1, len(stages)):
        jobs = without_useless(jobs, stages[:done], settings)
    return jobs


def shortened(jobs: list[Job], done: int, settings: Settings) -> list[Job]:
    """The jobs without the generations that are not done, and with controls of what is."""
    kept = list(jobs[:done])
    last = kept[-1].stage.step
    for stage in (job.stage for job in jobs[done:]):
        if stage.role in (DIRECT, CONTROL):
            pupils = [job.stage for job in jobs[:done] if job.stage.seed == stage.seed]
            left = [one for one in controls(pupils[1:]) if one.role == stage.role]
        else:
            left = [stage] if (stage.step or 0) <= (last or 0) else []
        kept += [make_job(one, kept, settings[one.seed]) for one in left]
    return kept


def validation_by_generation(stages: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Best validation accuracies [generation][seed] of the summaries."""
    return by_generation(stages, "best_validation")


def by_generation(stages: Sequence[Mapping[str, Any]], accuracy: str) -> list[list[float]]:
    """One of the accuracies as [generation][seed]."""
    found: dict[int, list[float]] = {}
    for stage in stages:
        if stage["role"] == GENERATION:
            found.setdefault(stage["step"], []).append(stage["accuracy"][accuracy])
    return [found[step] for step in sorted(found)]


def generations_report(
    run: RunAnswers, stages: Sequence[Mapping[str, Any]], planned: int
) -> dict[str, Any]:
    """Gains of the generations, whether they rise, and the accuracy of their ensembles on test.

    Args:
        stages: of the run's summary.
        planned: generations that were asked for.
    """
    tests = by_generation(stages, "test_at_best_validation")
    answers = run.of(0)["test"]
    report: dict[str, Any] = {
        "generations": len(tests),
        "planned": planned,
        "test": tests,
        "gains": [asdict(gain) for gain in generation_gains(tests, answers.images)],
        "monotone": [is_monotone(list(seed)) for seed in zip(*tests, strict=True)],
        "ensembles": ensemble_accuracies(run, (GENERATION,)),
    }
    if any(job.stage.role == INDEPENDENT for job in run.jobs):
        report["independent"] = ensemble_accuracies(run, (INDEPENDENT,))
        report["ensemble_gains"] = {
            kind: asdict(paired_gain(ours, report["independent"][kind], len(answers.labels)))
            for kind, ours in report["ensembles"].items()
        }
    return report


def ensemble_accuracies(run: RunAnswers, roles: Sequence[str]) -> dict[str, list[float]]:
    """Test accuracy of each kind of ensemble, one a seed; generation 0 is a member of every one."""
    found: dict[str, list[float]] = {kind: [] for kind in ENSEMBLES}
    for seed in run.settings:
        members = [
            run.of(place)["test"]
            for place, job in enumerate(run.jobs)
            if job.stage.seed == seed
            and (job.stage.role in roles or (job.stage.role == GENERATION and job.stage.step == 0))
        ]
        for kind, ensemble in ENSEMBLES.items():
            decided = ensemble(members).argmax(dim=1)
            found[kind].append((decided == members[0].labels).double().mean().item())
    return found


def generation_gains(accuracies: Sequence[Sequence[float]], images: int) -> list[PairedGain]:
    """What each generation gained over the one that taught it; `accuracies[generation][seed]`.

    `images` is how many each accuracy was measured on, for the error of a single seed.
    """
    return [paired_gain(later, earlier, images) for earlier, later in pairwise(accuracies)]


def stop_early(accuracies: Sequence[Sequence[float]], images: int) -> bool:
    """Whether the newest generation gained no more than noise, so that no other should follow.

    Arguments as of `generation_gains`; the accuracies are of validation, because they decide.
    Noise is one standard error of the paired difference over the seeds, or of the sample of
    images where there is one seed. Generation 0 alone is no reason to stop.
    """
    if len(accuracies) < 2:
        return False
    return not paired_gain(accuracies[-1], accuracies[-2], images).exceeds_error


def is_monotone(accuracies: Sequence[float]) -> bool:
    """Whether no generation is worse than the one before it: to be reported, never assumed."""
    return all(earlier <= later for earlier, later in pairwise(accuracies))
