"""Deciding the T of a stage when its turn comes, and finding it again when a run goes on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdrun.auto_temperature import choose, sampled_logits
from kdrun.config.schema import Config
from kdrun.files import read_sealed, write_sealed
from kdrun.job import Job, Setting, Settings
from kdrun.plan import Stage
from kdrun.planned_stage import PILOT
from kdrun.prepare import make_job
from kdrun.run_folder import TEMPERATURE
from kdrun.run_record import stage_label

Train = Callable[[Job, Sequence[Job]], dict[str, Any]]


def with_temperature(
    config: Config, jobs: list[Job], position: int, settings: Settings, folder: Path, train: Train
) -> list[Job]:
    """The jobs with the T of the one at `position` chosen, and all that follows from it.

    Writes what T was chosen from to `temperature.json`, unless it says so already.

    Args:
        train: (job, its teachers) -> summary, for pilots.
    """
    job = jobs[position]
    setting, teacher = settings[job.stage.seed], jobs[job.stage.teachers[0]]
    T = recorded_temperature(folder, position, job, teacher)
    if T is None:

        def pilot(T: float) -> float:
            short = make_job(pilot_stage(job.stage, T), jobs, setting)
            accuracy: float = train(short, [teacher])["accuracy"]["best_validation"]
            return accuracy

        choice = choice_for(config, job, teacher, setting, pilot)
        label = {"stage": position} | stage_label(job.stage) | {"arch": job.stage.model.arch}
        record(folder / TEMPERATURE, label | {"teacher": teacher.digest} | choice)
        T = choice["T"]
    return decided(jobs, position, job.stage.at(T), settings)


def choice_for(
    config: Config, job: Job, teacher: Job, setting: Setting, pilot: Callable[[float], float]
) -> dict[str, Any]:
    """The T of the stage and what it was chosen from, which is told."""
    logits, labels = sampled_logits(teacher, setting)
    choice = choose(
        job.stage.temperature.method,
        logits,
        labels,
        label_counts=setting.data.train.labels.bincount().tolist(),
        label_noise=config.dataset.label_noise,
        label_smoothing=smoothing_of(teacher, config.teacher.label_smoothing),
        pilot=pilot,
    )
    for line in choice["warnings"]:
        setting.reporter.say(line, style="yellow")
    setting.reporter.say(
        f"{job.title}: T={choice['T']:g} by method={choice['method']} from {choice['images']} "
        f"training images; the teacher's entropy is {choice['u']:.3f} of the most"
    )
    return choice


def smoothing_of(teacher: Job, stated: float | None) -> float:
    """The label smoothing that a teacher was trained with; of given weights what is known of it.

    Args:
        stated: `teacher.label_smoothing`, of given weights.
    """
    if teacher.source is None or not teacher.stage.pretrained:
        return teacher.stage.loss.label_smoothing
    return (teacher.source.label_smoothing or 0.0) if stated is None else stated


def as_chosen(jobs: list[Job], settings: Settings, folder: Path) -> list[Job]:
    """The jobs with every T that the run has chosen so far."""
    for position, job in enumerate(jobs):
        if job.stage.undecided:
            T = recorded_temperature(folder, position, job, jobs[job.stage.teachers[0]])
            if T is not None:
                jobs = decided(jobs, position, job.stage.at(T), settings)
    return jobs


def recorded_temperature(folder: Path, position: int, job: Job, teacher: Job) -> float | None:
    """The T that the run chose for the stage before, if it did.

    Raises:
        DamagedError: `temperature.json` is not as it was written.
    """
    key = {"stage": position, "teacher": teacher.digest, "method": job.stage.temperature.method}
    for choice in choices(folder / TEMPERATURE):
        if key.items() <= choice.items():
            return float(choice["T"])
    return None


def pilot_stage(stage: Stage, T: float) -> Stage:
    """A short training of the stage at a fixed T."""
    train, share = stage.train, stage.temperature.pilot_share
    epochs = max(1, round(share * train.epochs))
    short = replace(train, epochs=epochs, warmup_epochs=min(train.warmup_epochs, epochs / 2))
    return replace(stage.at(T), role=PILOT, train=short)


def choices(path: Path) -> list[dict[str, Any]]:
    """What the run has chosen so far."""
    found: list[dict[str, Any]] = read_sealed(path)["choices"] if path.exists() else []
    return found


def record(path: Path, choice: dict[str, Any]) -> None:
    """Add the choice to the run's, in place of an earlier one for the same stage."""
    others = [one for one in choices(path) if one["stage"] != choice["stage"]]
    write_sealed(path, {"format": 1, "choices": [*others, choice]})


def decided(jobs: list[Job], position: int, stage: Stage, settings: Settings) -> list[Job]:
    """The jobs with the stage in its place; what learns from it has another hash now."""
    kept = jobs[:position]
    for one in [stage, *(job.stage for job in jobs[position + 1 :])]:
        kept.append(make_job(one, kept, settings[one.seed]))
    return kept
