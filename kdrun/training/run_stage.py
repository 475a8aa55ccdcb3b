"""Run of one stage: build, train or load given weights, measure, write."""

import time
from typing import Any

from torch import nn

from kdrun.data.normalizer import Normalizer
from kdrun.models.weights.state_dict import apply_state, load_state
from kdrun.store.files import write_atomic
from kdrun.store.stages import CHECKPOINTS, WEIGHTS, finish
from kdrun.teachers.teacher import Teacher
from kdrun.training import checkpoint
from kdrun.training.batchnorm_statistics import reestimate_lagging
from kdrun.training.context import RunContext, StageRun
from kdrun.training.evaluate import measure
from kdrun.training.interleaving import Interleavable
from kdrun.training.nonfinite import leave_no_report
from kdrun.training.stage_model import build, normalization, placed
from kdrun.training.state import TrainState
from kdrun.training.teacher_measures import teacher_measures
from kdrun.training.trainer import Record, fit


def run_stage(
    stage_run: StageRun, context: RunContext, teachers: list[Teacher], record: Record
) -> Interleavable[dict[str, Any]]:
    """Run the stage, from its last checkpoint if any; return its summary.

    Raises:
        Stopped: a stop was requested by a signal; a checkpoint was written.
        NumericError: a loss is not finite.
    """
    data = context.data
    network = build(stage_run.stage, data.shape, stage_run.source)
    network, normalizer = placed(network, stage_run.stage, data, stage_run.source, context.device)
    if stage_run.stage.pretrained:
        outcome = measure_given(stage_run, context, network, normalizer)
    else:
        training = yield from fit(stage_run, context, network, normalizer, teachers, record)
        outcome = outcome_of(training)
        network = training.evaluated
        publish_best(stage_run, training)
        apply_state(network, load_state(stage_run.folder / WEIGHTS), source="best weights")
        outcome["accuracy"] |= mend_statistics(stage_run, context, training, network, normalizer)
    test = measure(stage_run, context, network, normalizer, data.test)
    outcome["accuracy"]["test_at_best_validation"] = test.accuracy
    outcome |= teacher_measures(stage_run, context, network, normalizer)
    leave_no_report(stage_run.folder)
    # The last checkpoint stays, so that training can be continued.
    checkpoint.prune(stage_run.folder / CHECKPOINTS, 1, None)
    return finish(stage_run.folder, describe(stage_run, context) | outcome)


def publish_best(stage_run: StageRun, training: TrainState) -> None:
    """Rename the best weights to the final file of the stage."""
    assert training.best is not None
    best = checkpoint.best_path(stage_run.folder / CHECKPOINTS, training.best["update"])
    write_atomic(stage_run.folder / WEIGHTS, best.read_bytes())


def mend_statistics(
    stage_run: StageRun,
    context: RunContext,
    training: TrainState,
    network: nn.Module,
    normalizer: Normalizer,
) -> dict[str, float]:
    """Re-estimate a teacher's lagging BatchNorm statistics; return the changed accuracies."""
    assert training.best is not None
    if not reestimate_lagging(stage_run, context, network, normalizer, training.best["update"]):
        return {}
    checkpoint.save_weights(stage_run.folder / WEIGHTS, checkpoint.weights_of(network))
    line = f"{stage_run.title}: BatchNorm averages lag after few updates and were re-estimated"
    split, before = context.data.validation, training.best["validation"]
    if split is None:
        context.reporter.say(line)
        return {}
    after = measure(stage_run, context, network, normalizer, split)
    context.reporter.say(f"{line}; validation {before:.2%} before, {after.accuracy:.2%} now")
    return {"best_validation": after.accuracy, "best_validation_loss": after.loss}


def outcome_of(training: TrainState) -> dict[str, Any]:
    """Return the summary entries of a finished training."""
    history, best = training.history, training.best
    assert best is not None
    seconds = sum(line["seconds"] for line in history)
    images = sum(line["seconds"] * line["images_per_second"] for line in history)
    return {
        "epochs": training.epoch,
        "best_epoch": best["epoch"],
        "skipped": training.skipped,
        "seconds": round(seconds, 2),
        "images_per_second": round(images / max(seconds, 1e-9), 1),
        **({"layers": training.objective.compared} if training.objective.compared else {}),
        "accuracy": {
            "train": history[-1]["train_accuracy"],
            "last": history[-1]["validation_accuracy"],
            "best_validation": best["validation"],
            "best_validation_loss": best["validation_loss"],
        },
    }


def measure_given(
    stage_run: StageRun, context: RunContext, network: nn.Module, normalizer: Normalizer
) -> dict[str, Any]:
    """Evaluate given weights, on training data without a validation split; keep a copy."""
    began = time.monotonic()
    held_out = context.data.validation
    result = measure(stage_run, context, network, normalizer, held_out or context.data.train)
    checkpoint.save_weights(stage_run.folder / WEIGHTS, checkpoint.weights_of(network))
    validation = None if held_out is None else result.accuracy
    return {
        "epochs": 0,
        "best_epoch": 0,
        "seconds": round(time.monotonic() - began, 2),
        "images_per_second": None,
        "accuracy": {
            "train": result.accuracy if held_out is None else None,
            "last": validation,
            "best_validation": validation,
            "best_validation_loss": None if held_out is None else result.loss,
        },
    }


def describe(stage_run: StageRun, context: RunContext) -> dict[str, Any]:
    """Return the summary entries common to trained and given models."""
    data = context.data
    return {
        "format": 1,
        "hash": stage_run.digest,
        "arch": stage_run.stage.model.arch,
        "library": stage_run.stage.model.library,
        "parameters": stage_run.parameters,
        "macs": stage_run.macs,
        "dataset": data.name,
        "class_names": list(data.class_names),
        "image_shape": [data.channels, data.image_size, data.image_size],
        "normalization": normalization(data, stage_run.source, stage_run.stage.model.normalization),
        "precision": context.precision,
        "device": context.device.type,
    }
