"""Selection of a stage's T (temperature=auto), and its record."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdrun.analysis.certainty import NEARLY_UNIFORM
from kdrun.analysis.temperature_evidence import evidence, guideline, most_dark_knowledge
from kdrun.config.schema import Config
from kdrun.plan.stage import PILOT, Stage, stage_label
from kdrun.runs.prepare import make_stage_run
from kdrun.store.files import write_sealed
from kdrun.store.formats import TEMPERATURES
from kdrun.store.run_folder import TEMPERATURE
from kdrun.store.shapes import read_shaped
from kdrun.training.context import ContextBySeed, RunContext, StageRun
from kdrun.training.evaluate import predictor
from kdrun.training.stage_model import load_finished
from kdrun.training.teacher_measures import collect_logits

Train = Callable[[StageRun, Sequence[StageRun]], dict[str, Any]]


def with_temperature(
    config: Config,
    stage_runs: list[StageRun],
    position: int,
    contexts: ContextBySeed,
    folder: Path,
    train: Train,
) -> list[StageRun]:
    """The jobs with the T of the one at `position` chosen, and all that follows from it.

    Writes what T was chosen from to `temperature.json`, unless it says so already.

    Args:
        train: (job, its teachers) -> summary, for pilots.
    """
    stage_run = stage_runs[position]
    context, teacher = contexts[stage_run.stage.seed], stage_runs[stage_run.stage.teachers[0]]
    T = recorded_temperature(folder, position, stage_run, teacher)
    if T is None:

        def pilot(T: float) -> float:
            short = make_stage_run(pilot_stage(stage_run.stage, T), stage_runs, context)
            accuracy: float = train(short, [teacher])["accuracy"]["best_validation"]
            return accuracy

        choice = choice_for(config, stage_run, teacher, context, pilot)
        label = (
            {"stage": position}
            | stage_label(stage_run.stage)
            | {"arch": stage_run.stage.model.arch}
        )
        record(
            folder / TEMPERATURE,
            label | {"teacher": teacher.digest, "for": stage_run.digest} | choice,
        )
        T = choice["T"]
    return decided(stage_runs, position, stage_run.stage.at(T), contexts)


def choice_for(
    config: Config,
    stage_run: StageRun,
    teacher: StageRun,
    context: RunContext,
    pilot: Callable[[float], float],
) -> dict[str, Any]:
    """The T of the stage and what it was chosen from, which is told."""
    logits, labels = sampled_logits(teacher, context)
    choice = choose(
        stage_run.stage.temperature.method,
        logits,
        labels,
        label_counts=context.data.train.labels.bincount().tolist(),
        label_noise=config.dataset.label_noise,
        label_smoothing=smoothing_of(teacher, config.teacher.label_smoothing),
        pilot=pilot,
    )
    for line in [*uniform_warnings(stage_run.title, choice["u"]), *choice["warnings"]]:
        context.reporter.say(line, style="yellow")
    context.reporter.say(
        f"{stage_run.title}: T={choice['T']:g} by method={choice['method']} from "
        f"{choice['images']} training images; the teacher's "
        f"entropy is {choice['u']:.3f} of the most"
    )
    return choice


def uniform_warnings(title: str, share: float) -> list[str]:
    """What to say where the teacher's entropy is nearly log K, whatever T is chosen."""
    if share <= NEARLY_UNIFORM:
        return []
    return [
        f"{title}: the teacher is nearly uniform even at T=1 (entropy {share:.1%} of the most), "
        "so that any T leaves little to learn: train it longer (train.epochs)"
    ]


def smoothing_of(teacher: StageRun, stated: float | None) -> float:
    """The label smoothing that a teacher was trained with; of given weights what is known of it.

    Args:
        stated: `teacher.label_smoothing`, of given weights.
    """
    if teacher.source is None or not teacher.stage.pretrained:
        return teacher.stage.loss.label_smoothing
    return (teacher.source.label_smoothing or 0.0) if stated is None else stated


def as_chosen(stage_runs: list[StageRun], contexts: ContextBySeed, folder: Path) -> list[StageRun]:
    """The jobs with every T that the run has chosen so far."""
    for position, stage_run in enumerate(stage_runs):
        if stage_run.stage.undecided:
            T = recorded_temperature(
                folder, position, stage_run, stage_runs[stage_run.stage.teachers[0]]
            )
            if T is not None:
                stage_runs = decided(stage_runs, position, stage_run.stage.at(T), contexts)
    return stage_runs


def recorded_temperature(
    folder: Path, position: int, stage_run: StageRun, teacher: StageRun
) -> float | None:
    """The T that the run chose for the stage before, if it did.

    Raises:
        DamagedError: `temperature.json` is not as it was written.
    """
    key = {
        "stage": position,
        "teacher": teacher.digest,
        "method": stage_run.stage.temperature.method,
    }
    for choice in choices(folder / TEMPERATURE):
        # An earlier kdrun did not write which stage it chose for.
        if (
            key.items() <= choice.items()
            and choice.get("for", stage_run.digest) == stage_run.digest
        ):
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
    if not path.exists():
        return []
    found: list[dict[str, Any]] = read_shaped(path, TEMPERATURES)["choices"]
    return found


def record(path: Path, choice: dict[str, Any]) -> None:
    """Add the choice to the run's, in place of an earlier one for the same stage."""
    others = [one for one in choices(path) if one["stage"] != choice["stage"]]
    write_sealed(path, {"format": 1, "choices": [*others, choice]})


def decided(
    stage_runs: list[StageRun], position: int, stage: Stage, contexts: ContextBySeed
) -> list[StageRun]:
    """The jobs with the stage in its place; what learns from it has another hash now."""
    kept = stage_runs[:position]
    for one in [stage, *(stage_run.stage for stage_run in stage_runs[position + 1 :])]:
        kept.append(make_stage_run(one, kept, contexts[one.seed]))
    return kept


IMAGES = 10_000
"""Training images that the teacher is asked about at most."""

PILOTS = (1.0, 2.0, 4.0, 8.0)
"""Temperatures of the pilot stages of method=search."""


@torch.inference_mode()
def sampled_logits(
    stage_run: StageRun, context: RunContext, most: int = IMAGES
) -> tuple[Tensor, Tensor]:
    """(N, K) float64 logits and (N,) labels of a seeded draw of training images, in eval mode."""
    network, normalizer = load_finished(stage_run, context)
    predict = predictor(network, normalizer, context)
    size = min(most, stage_run.stage.train.eval_batch_size)
    seed = stage_run.stage.train.seed
    batches = context.data.train.train_batches(size, seed=seed, view=0, augment="none")
    return collect_logits(predict, islice(batches, -(-most // size)), most)


def choose(
    method: str,
    logits: Tensor,
    labels: Tensor,
    *,
    label_counts: Sequence[int],
    label_noise: float,
    label_smoothing: float,
    pilot: Callable[[float], float],
) -> dict[str, Any]:
    """The chosen `T` and everything it was chosen from.

    Args:
        method: guideline, formula, cmi or search.
        logits: (N, K) of the teacher on training images.
        labels: (N,) theirs.
        label_counts: how often each label occurs in the training data.
        label_noise: the stated share of wrong labels.
        label_smoothing: that the teacher was trained with.
        pilot: T -> validation accuracy of a short training at it.
    """
    found = evidence(logits, labels, label_counts, label_noise)
    found |= guideline(found, label_smoothing)
    if method == "formula":
        T = found["formula_clipped"]
    elif method == "cmi":
        found |= most_dark_knowledge(logits, labels)
        T = found["interior_maximum"] or found["guideline"]
    elif method == "search":
        accuracies = {T: pilot(T) for T in PILOTS}
        found["pilots"] = [{"T": T, "validation": value} for T, value in accuracies.items()]
        T = max(accuracies, key=lambda T: accuracies[T])
    else:
        T = found["guideline"]
    # To a hundredth, so that rounding on another machine makes no other stage of it.
    return {"method": method, "T": round(T, 2)} | found
