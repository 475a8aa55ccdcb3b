"""One stage: build the model, train it or take it as given, measure it, write it down."""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from kdrun import checkpoint
from kdrun.data.image_data import ImageData
from kdrun.data.shapes import ImageShape
from kdrun.data.views import Normalizer
from kdrun.device import place
from kdrun.engine import Training
from kdrun.files import write_atomic
from kdrun.fit import Record, fit
from kdrun.job import Job, Setting, measure
from kdrun.models.build import build_model
from kdrun.models.complexity import count_macs, count_parameters
from kdrun.models.weights import apply_state, load_state
from kdrun.nonfinite import leave_no_report
from kdrun.plan import Stage
from kdrun.store import CHECKPOINTS, WEIGHTS, finish
from kdrun.teacher import Teacher
from kdrun.turns import Turns
from kdrun.weights_source import WeightsSource


def build(stage: Stage, shape: ImageShape, source: WeightsSource | None) -> nn.Module:
    """The stage's model on the CPU, initialised from its seed, with its given weights.

    Raises:
        WeightsError: the weights do not fit.
    """
    torch.manual_seed(stage.train.seed)
    model = stage.model
    network = build_model(
        model.arch,
        num_classes=shape.num_classes,
        in_channels=shape.channels,
        image_size=shape.image_size,
        stem=model.stem,
        library=model.library,
        width=model.width,
        depth=model.depth,
        weights=source.name if source is not None and source.path is None else None,
    )
    if source is not None and source.path is not None:
        apply_state(network, load_state(source.path), source=source.name)
    return network


def bare(stage: Stage) -> Stage:
    """The stage without its given weights: enough to know its model's structure."""
    return replace(stage, model=replace(stage.model, weights=None))


def outline(stage: Stage, shape: ImageShape) -> nn.Module:
    """The stage's model in shape only: no memory, no weights."""
    with torch.device("meta"):
        return build(bare(stage), shape, None)


def sizes(stage: Stage, shape: ImageShape) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of one image."""
    image = (shape.channels, shape.image_size, shape.image_size)
    return count_parameters(outline(stage, shape)), count_macs(
        lambda: build(bare(stage), shape, None), image
    )


def normalization(data: ImageData, source: WeightsSource | None) -> dict[str, list[float]]:
    """The mean and deviation that the weights expect: their card's, or else the data's."""
    own = {"mean": list(data.mean), "std": list(data.std)}
    card = own if source is None else source.card.get("normalization", own)
    # Published weights for colours, whose first kernel was summed for grey images.
    return card if len(card["mean"]) == data.channels else own


def run_stage(
    job: Job, setting: Setting, teachers: list[Teacher], record: Record
) -> Turns[dict[str, Any]]:
    """Do the stage, from its last checkpoint if there is one; returns its summary.

    Raises:
        Stopped: a signal asked for it; a checkpoint was written.
        NumericError: a loss is not finite.
    """
    data, device = setting.data, setting.device
    network = place(build(job.stage, data.shape, job.source), device, job.stage.train.channels_last)
    normalizer = Normalizer(**normalization(data, job.source)).to(device)
    if job.stage.pretrained:
        outcome = measure_given(job, setting, network, normalizer)
    else:
        training = yield from fit(job, setting, network, normalizer, teachers, record)
        outcome = outcome_of(training)
        network = training.evaluated
        take_best(job, training)
        apply_state(network, load_state(job.folder / WEIGHTS), source="best weights")
    test = measure(job, setting, network, normalizer, data.test)
    outcome["accuracy"]["test_at_best_validation"] = test.accuracy
    leave_no_report(job.folder)
    # The last checkpoint stays, for whoever wants to train on.
    checkpoint.prune(job.folder / CHECKPOINTS, 1, None)
    return finish(job.folder, describe(job, setting) | outcome)


def take_best(job: Job, training: Training) -> None:
    """Give the best weights the name by which the finished stage is known."""
    assert training.best is not None
    best = checkpoint.best_path(job.folder / CHECKPOINTS, training.best["update"])
    write_atomic(job.folder / WEIGHTS, best.read_bytes())


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
        "normalization": normalization(data, job.source),
        "precision": setting.precision,
        "device": setting.device.type,
    }
