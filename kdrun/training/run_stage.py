"""Run one stage: build the model, train it or take given weights, measure, write."""

import time
from typing import Any

from torch import nn

from kdrun.data.normalizer import Normalizer
from kdrun.models.state_dict import apply_state, load_state
from kdrun.store.files import write_atomic
from kdrun.store.stages import CHECKPOINTS, WEIGHTS, finish
from kdrun.teachers.teacher import Teacher
from kdrun.training import checkpoint
from kdrun.training.batchnorm_statistics import reestimate_lagging
from kdrun.training.context import Job, Setting
from kdrun.training.evaluate import measure
from kdrun.training.interleaving import Turns
from kdrun.training.nonfinite import leave_no_report
from kdrun.training.stage_model import build, normalization, placed
from kdrun.training.state import Training
from kdrun.training.teacher_measures import teacher_measures
from kdrun.training.trainer import Record, fit


def run_stage(
    job: Job, setting: Setting, teachers: list[Teacher], record: Record
) -> Turns[dict[str, Any]]:
    """Do the stage, from its last checkpoint if there is one; returns its summary.

    Raises:
        Stopped: a signal asked for it; a checkpoint was written.
        NumericError: a loss is not finite.
    """
    data = setting.data
    network = build(job.stage, data.shape, job.source)
    network, normalizer = placed(network, job.stage, data, job.source, setting.device)
    if job.stage.pretrained:
        outcome = measure_given(job, setting, network, normalizer)
    else:
        training = yield from fit(job, setting, network, normalizer, teachers, record)
        outcome = outcome_of(training)
        network = training.evaluated
        take_best(job, training)
        apply_state(network, load_state(job.folder / WEIGHTS), source="best weights")
        outcome["accuracy"] |= mend_statistics(job, setting, training, network, normalizer)
    test = measure(job, setting, network, normalizer, data.test)
    outcome["accuracy"]["test_at_best_validation"] = test.accuracy
    outcome |= teacher_measures(job, setting, network, normalizer)
    leave_no_report(job.folder)
    # The last checkpoint stays, for whoever wants to train on.
    checkpoint.prune(job.folder / CHECKPOINTS, 1, None)
    return finish(job.folder, describe(job, setting) | outcome)


def take_best(job: Job, training: Training) -> None:
    """Give the best weights the name by which the finished stage is known."""
    assert training.best is not None
    best = checkpoint.best_path(job.folder / CHECKPOINTS, training.best["update"])
    write_atomic(job.folder / WEIGHTS, best.read_bytes())


def mend_statistics(
    job: Job, setting: Setting, training: Training, network: nn.Module, normalizer: Normalizer
) -> dict[str, float]:
    """Re-estimate a teacher's lagging BatchNorm statistics; returns the accuracies that change."""
    assert training.best is not None
    if not reestimate_lagging(job, setting, network, normalizer, training.best["update"]):
        return {}
    checkpoint.save_weights(job.folder / WEIGHTS, checkpoint.weights_of(network))
    told = f"{job.title}: BatchNorm's averages lag after so few updates and were re-estimated"
    split, before = setting.data.validation, training.best["validation"]
    if split is None:
        setting.reporter.say(told)
        return {}
    after = measure(job, setting, network, normalizer, split)
    setting.reporter.say(f"{told}; validation {before:.2%} before, {after.accuracy:.2%} now")
    return {"best_validation": after.accuracy, "best_validation_loss": after.loss}


def outcome_of(training: Training) -> dict[str, Any]:
    """What a finished training has to say of itself."""
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
        "accuracy": {
            "train": history[-1]["train_accuracy"],
            "last": history[-1]["validation_accuracy"],
            "best_validation": best["validation"],
            "best_validation_loss": best["validation_loss"],
        },
    }


def measure_given(
    job: Job, setting: Setting, network: nn.Module, normalizer: Normalizer
) -> dict[str, Any]:
    """Evaluate given weights, on training data where nothing is held out; keep a copy of them."""
    began = time.monotonic()
    held_out = setting.data.validation
    result = measure(job, setting, network, normalizer, held_out or setting.data.train)
    checkpoint.save_weights(job.folder / WEIGHTS, checkpoint.weights_of(network))
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


def describe(job: Job, setting: Setting) -> dict[str, Any]:
    """What holds of a stage whether trained or given."""
    data = setting.data
    return {
        "format": 1,
        "hash": job.digest,
        "arch": job.stage.model.arch,
        "library": job.stage.model.library,
        "parameters": job.parameters,
        "macs": job.macs,
        "dataset": data.name,
        "class_names": list(data.class_names),
        "image_shape": [data.channels, data.image_size, data.image_size],
        "normalization": normalization(data, job.source, job.stage.model.normalization),
        "precision": setting.precision,
        "device": setting.device.type,
    }
