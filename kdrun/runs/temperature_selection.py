"""Selection of a stage's T (temperature=auto), and the updated plan."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from kdrun.analysis.certainty import NEARLY_UNIFORM
from kdrun.catalog.schedules import TEMPERATURE_METHODS
from kdrun.config.schema import Config
from kdrun.plan.stage import PILOT, Stage, stage_label
from kdrun.runs.prepare import make_stage_run
from kdrun.runs.temperature_log import Choice, TemperatureLog
from kdrun.runs.temperature_methods import choose
from kdrun.training.context import ContextBySeed, RunContext, StageRun
from kdrun.training.evaluate import predictor, unless_stopped
from kdrun.training.stage_model import load_finished
from kdrun.training.teacher_measures import collect_logits, most_images


def select_temperature(
    config: Config,
    stage_runs: list[StageRun],
    position: int,
    context: RunContext,
    pilot: Callable[[Stage], float],
) -> Choice:
    """Choose and report the T of the undecided stage at `position` from its teacher.

    Args:
        pilot: short stage -> validation accuracy.
    """
    stage_run = stage_runs[position]
    teacher = teacher_of(stage_run, stage_runs)
    logits, labels = sampled_logits(teacher, context)
    options = stage_run.stage.temperature
    chosen = choose(
        options.method,
        logits,
        labels,
        label_counts=context.data.train.labels.bincount().tolist(),
        label_noise=config.dataset.label_noise,
        label_smoothing=smoothing_of(teacher, config.teacher.label_smoothing),
        pilot=lambda T: pilot(pilot_stage(stage_run.stage, T)),
        **{name: getattr(options, name) for name in TEMPERATURE_METHODS[options.method].options},
    )
    for line in [*uniform_warnings(stage_run.title, chosen["u"]), *chosen["warnings"]]:
        context.reporter.say(line, style="yellow")
    context.reporter.say(
        f"{stage_run.title}: T={chosen['T']:g} by method={chosen['method']} from "
        f"{chosen['images']} training images; normalised teacher entropy {chosen['u']:.3f}"
    )
    label = (
        {"stage": position} | stage_label(stage_run.stage) | {"arch": stage_run.stage.model.arch}
    )
    return Choice(label | {"teacher": teacher.digest, "for": stage_run.digest} | chosen)


def apply(choice: Choice, stage_runs: list[StageRun], contexts: ContextBySeed) -> list[StageRun]:
    """Return the stages with the chosen T; stages after the decided one get new hashes."""
    decided = stage_runs[: choice.position]
    stage, *later = (stage_run.stage for stage_run in stage_runs[choice.position :])
    for one in [stage.at(choice.T), *later]:
        decided.append(make_stage_run(one, decided, contexts[one.seed]))
    return decided


def apply_recorded(
    stage_runs: list[StageRun], contexts: ContextBySeed, folder: Path
) -> list[StageRun]:
    """Return the stages with every T that the run in the folder has chosen so far."""
    log = TemperatureLog(folder)
    for position in range(len(stage_runs)):
        stage_run = stage_runs[position]  # may be changed by an earlier choice
        if stage_run.stage.undecided:
            choice = log.find(position, stage_run, teacher_of(stage_run, stage_runs))
            if choice is not None:
                stage_runs = apply(choice, stage_runs, contexts)
    return stage_runs


def teacher_of(stage_run: StageRun, stage_runs: list[StageRun]) -> StageRun:
    """Return the teacher for choosing the stage's T."""
    return stage_runs[stage_run.stage.teachers[0]]


def uniform_warnings(title: str, share: float) -> list[str]:
    """Warn if the teacher's entropy is nearly log K, for any T."""
    if share <= NEARLY_UNIFORM:
        return []
    return [
        f"{title}: the teacher is nearly uniform even at T=1 (entropy {share:.1%} of log K), "
        "so any T leaves little to learn: train the teacher longer (train.epochs)"
    ]


def smoothing_of(teacher: StageRun, stated: float | None) -> float:
    """Return the label smoothing of a teacher's training; of given weights as far as known.

    Args:
        stated: `teacher.label_smoothing`, for given weights.
    """
    if teacher.source is None or not teacher.stage.pretrained:
        return teacher.stage.loss.label_smoothing
    return (teacher.source.label_smoothing or 0.0) if stated is None else stated


def pilot_stage(stage: Stage, T: float) -> Stage:
    """Return a short training of the stage at a fixed T."""
    train, share = stage.train, stage.temperature.pilot_share
    epochs = max(1, round(share * train.epochs))
    short = replace(train, epochs=epochs, warmup_epochs=min(train.warmup_epochs, epochs / 2))
    return replace(stage.at(T), role=PILOT, train=short)


@torch.inference_mode()
def sampled_logits(
    stage_run: StageRun, context: RunContext, most: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return (N, K) float64 logits and (N,) labels of a seeded sample of training images.

    Args:
        stage_run: of the teacher.
        context: of the run.
        most: number of images; None for `most_images`.

    Raises:
        Stopped: a stop was requested by a signal.
    """
    network, normalizer = load_finished(stage_run, context)
    predict = predictor(network, normalizer, context)
    most = most or most_images(len(context.data.class_names))
    size = min(most, stage_run.stage.train.eval_batch_size)
    seed = stage_run.stage.train.seed
    batches = context.data.train.train_batches(size, seed=seed, view=0, augment="none")
    drawn = unless_stopped(stage_run, context, islice(batches, -(-most // size)))
    return collect_logits(predict, drawn, most)
