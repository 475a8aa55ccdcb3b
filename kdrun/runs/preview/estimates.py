"""Estimates of a stage's memory, disk and time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from kdrun.catalog.datasets import ImageShape
from kdrun.data.normalizer import Normalizer
from kdrun.plan.stage import Stage, live
from kdrun.teachers.teacher import Teacher
from kdrun.training.context import RunContext
from kdrun.training.evaluate import predictor
from kdrun.training.interleaving import run_to_end
from kdrun.training.loop import train_epoch
from kdrun.training.optimizer import STATES
from kdrun.training.setup import make_loop_settings, make_objective, make_train_state
from kdrun.training.stage_model import build, placed, without_weights
from kdrun.training.trainer import fit_projections

FLOAT = 4
TRIAL = 2.0
"""Length of a timing trial in seconds, after the first updates."""


def training_bytes(
    stage: Stage, shape: ImageShape, parameters: int, teachers: Sequence[int]
) -> int:
    """Return the bytes for training in float32: weights, gradients, optimizer, activations.

    Args:
        parameters: parameter count of the stage's model.
        teachers: parameter count of each teacher.
    """
    copies = 2 + STATES[stage.train.optimizer] + (stage.train.ema is not None)
    activations = stage.train.batch_size * bytes_for_backward(stage, shape)
    return FLOAT * (copies * parameters + sum(teachers)) + activations


def bytes_for_backward(stage: Stage, shape: ImageShape) -> int:
    """Return the bytes that autograd saves per image, measured on the meta device."""
    # BatchNorm needs two images; the difference removes the part that is independent of the batch.
    return _kept(stage, shape, 3) - _kept(stage, shape, 2)


def _kept(stage: Stage, shape: ImageShape, images: int) -> int:
    storages: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage()._cdata] = tensor  # kept alive, so that no id is reused
        return tensor

    with torch.device("meta"):
        network = build(without_weights(stage), shape, None).train()
        example = torch.empty(images, shape.channels, shape.image_size, shape.image_size)
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            network(example)
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())


def disk_bytes(stage: Stage, parameters: int) -> int:
    """Return the bytes on disk during training: best weights and checkpoints."""
    if stage.pretrained:
        return FLOAT * parameters
    state = 1 + STATES[stage.train.optimizer] + (stage.train.ema is not None)
    return FLOAT * parameters * (2 + stage.train.keep_last * state)


@dataclass(frozen=True)
class Speed:
    """Seconds per image, in training with the teachers and in evaluation."""

    training: float
    evaluation: float

    def seconds(self, stage: Stage, context: RunContext) -> float:
        """Return the seconds of the whole stage: epochs with validation, and the test."""
        data = context.data
        held_out = 0 if data.validation is None else len(data.validation)
        if stage.pretrained:
            return self.evaluation * (held_out + len(data.test))
        epoch = self.training * len(data.train) + self.evaluation * held_out
        return stage.train.epochs * epoch + self.evaluation * len(data.test)


def tried(stage: Stage, teachers: Sequence[Stage], context: RunContext) -> Speed:
    """Measure the speed of the stage on untrained models that are discarded."""
    shape, device = context.data.shape, context.device
    example = next(iter(context.data.train.batches(2))).images
    models = [
        placed(build(without_weights(one), shape, None), one, context.data, None, device)
        for one in (stage, *teachers)
    ]
    network, normalizer = models[0]
    taught = [
        Teacher(one.model.arch, "", *model, context.autocast, example)
        for one, model in zip(teachers, models[1:], strict=True)
    ]
    objective, wanted = make_objective(stage, network, taught, normalizer, context)
    training = make_train_state(stage, network, objective, context)
    settings = make_loop_settings(
        replace(stage, cache=live()), context, normalizer, taught, training, wanted
    )
    if objective.epoch_fits():
        fit_projections(stage.title, context, training, settings)
    size, updates = stage.train.batch_size, []

    def report(images: int, means: dict[str, float] | None) -> bool:
        synchronize(device)
        updates.append((time.monotonic(), images))
        return len(updates) < 3 or updates[-1][0] < updates[1][0] + TRIAL

    batches = context.data.train.num_batches(size)
    views = context.data.train.train_batches(
        size, seed=stage.train.seed, view=0, augment=context.augment
    )
    run_to_end(train_epoch(training, settings, views, batches, report))
    # The first update includes one-time set-up.
    past = updates[1:] if len(updates) > 2 else updates
    images = sum(images for _, images in past[1:]) or past[0][1]
    elapsed = past[-1][0] - past[0][0]
    return Speed(elapsed / images, evaluation_seconds(stage, network, normalizer, context))


def evaluation_seconds(
    stage: Stage, network: torch.nn.Module, normalizer: Normalizer, context: RunContext
) -> float:
    """Return the seconds per image in evaluation, from one batch after an untimed one."""
    predict = predictor(network, normalizer, context)
    size = min(stage.train.eval_batch_size, 256, len(context.data.train))
    batch = next(iter(context.data.train.batches(size)))
    with torch.inference_mode():
        predict(batch)
        synchronize(context.device)
        began = time.monotonic()
        predict(batch)
        synchronize(context.device)
    return (time.monotonic() - began) / len(batch.labels)


def synchronize(device: torch.device) -> None:
    """Wait for a GPU, which works asynchronously."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
