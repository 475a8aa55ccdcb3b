"""Deciding the T of a stage when its turn comes; from then on the plan has it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdrun.auto_temperature import choose, sampled_logits
from kdrun.config.schema import Config
from kdrun.files import read_json, write_json
from kdrun.job import Job, Settings
from kdrun.plan import Stage
from kdrun.planned_stage import PILOT
from kdrun.prepare import make_job
from kdrun.run_folder import TEMPERATURE
from kdrun.run_record import stage_label, write_plan

Train = Callable[[Job, Sequence[Job]], dict[str, Any]]


def with_temperature(
    config: Config, jobs: list[Job], position: int, settings: Settings, folder: Path, train: Train
) -> list[Job]:
    """The jobs with the T of the one at `position` chosen, and all that follows from it.

    Writes what T was chosen from to `temperature.json`, then the plan.

    Args:
        train: (job, its teachers) -> summary, for pilots.
    """
    job, root = jobs[position], Path(config.output_root)
    stage, setting = job.stage, settings[job.stage.seed]
    teacher = jobs[stage.teachers[0]]

    def pilot(T: float) -> float:
        short = make_job(pilot_stage(stage, T), jobs, setting, root)
        accuracy: float = train(short, [teacher])["accuracy"]["best_validation"]
        return accuracy

    logits, labels = sampled_logits(teacher, setting)
    choice = choose(
        stage.temperature.method,
        logits,
        labels,
        label_counts=setting.data.train.labels.bincount().tolist(),
        label_noise=config.dataset.label_noise,
        label_smoothing=teacher.stage.loss.label_smoothing,
        pilot=pilot,
    )
    label = {"stage": position} | stage_label(stage) | {"arch": stage.model.arch}
    record(folder / TEMPERATURE, label | {"teacher": teacher.digest} | choice)
    for line in choice["warnings"]:
        setting.reporter.say(line, style="yellow")
    setting.reporter.say(
        f"{job.title}: T={choice['T']:g} by method={choice['method']} from {choice['images']} "
        f"training images; the teacher's entropy is {choice['u']:.3f} of the most"
    )
    return decided(jobs, position, stage.at(choice["T"]), settings, folder, root)


def pilot_stage(stage: Stage, T: float) -> Stage:
    """A short training of the stage at a fixed T."""
    train, share = stage.train, stage.temperature.pilot_share
    epochs = max(1, round(share * train.epochs))
    short = replace(train, epochs=epochs, warmup_epochs=min(train.warmup_epochs, epochs / 2))
    return replace(stage.at(T), role=PILOT, train=short)


def record(path: Path, choice: dict[str, Any]) -> None:
    """Add the choice to the run's, in place of an earlier one for the same stage."""
    before = read_json(path)["choices"] if path.exists() else []
    others = [one for one in before if one["stage"] != choice["stage"]]
    write_json(path, {"format": 1, "choices": [*others, choice]})


def decided(
    jobs: list[Job], position: int, stage: Stage, settings: Settings, folder: Path, root: Path
) -> list[Job]:
    """The jobs with the stage in its place; what learns from it has another hash now."""
    kept = jobs[:position]
    for one in [stage, *(job.stage for job in jobs[position + 1 :])]:
        kept.append(make_job(one, kept, settings[one.seed], root))
    write_plan(folder, kept)
    return kept
