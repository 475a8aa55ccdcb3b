"""From a stage's options to what its training starts with: state, and the recipe of its epochs."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kdrun.config.schema import TrainConfig
from kdrun.data.image_data import ImageData
from kdrun.data.views import Mixing, Normalizer, draw_cutmix, draw_mixup
from kdrun.engine import Recipe, Training
from kdrun.job import Setting
from kdrun.objective import Outputs, build_objective
from kdrun.optim import build_optimizer, learning_rate_at
from kdrun.plan import Stage
from kdrun.teacher import Teacher
from kdrun.temperature import temperature_at
from kdrun.terms import needs_teacher, term_weights
from kdrun.totals import Totals


def make_training(stage: Stage, network: nn.Module, setting: Setting) -> Training:
    """Fresh state: optimizer, scaler, average of the weights, sums."""
    options, device = stage.train, setting.device
    objective = build_objective(
        term_weights(stage.loss),
        soft=stage.loss.soft,
        label_smoothing=stage.loss.label_smoothing,
    ).to(device)
    optimizer = build_optimizer(
        options.optimizer,
        [*network.parameters(), *objective.parameters()],
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )
    average = None
    if options.ema is not None:
        average = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=True
        )
    return Training(
        student=network,
        objective=objective,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(device.type, enabled=setting.precision == "fp16"),
        average=average,
        totals=Totals(objective.weights, device),
    )


def make_recipe(
    stage: Stage,
    setting: Setting,
    normalizer: Normalizer,
    teachers: list[Teacher],
    training: Training,
) -> Recipe:
    """What the epochs of the stage have in common."""
    options, temperature = stage.train, stage.temperature
    batches = setting.data.train.num_batches(options.batch_size)
    updates = -(-batches // options.accumulate)
    forward = torch.compile(training.student) if options.compile else training.student
    return Recipe(
        seed=options.seed,
        device=setting.device,
        accumulate=options.accumulate,
        grad_clip=options.grad_clip,
        learning_rate=partial(
            learning_rate_at,
            updates=updates * options.epochs,
            peak=options.lr,
            schedule=options.schedule,
            warmup=round(options.warmup_epochs * updates),
            milestones=options.milestones,
            gamma=options.gamma,
        ),
        temperature=lambda epoch: temperature_at(
            temperature.schedule,
            epoch,
            options.epochs,
            stage.loss.T,
            temperature.end,
            temperature.gamma,
            temperature.every,
        ),
        normalizer=normalizer,
        autocast=setting.autocast,
        student=lambda images: Outputs(forward(images)),
        teacher=teachers[0].of_views if needs_teacher(stage.loss) else None,
        mix=make_mix(options, setting.data),
    )


def make_mix(options: TrainConfig, data: ImageData) -> Callable[[int, int], Mixing] | None:
    """(epoch, batch) -> how the batch is mixed, as the options ask."""
    num_classes, seed = len(data.class_names), options.seed

    def mixup(epoch: int, batch: int) -> Mixing:
        return draw_mixup(
            strength=options.mixup, num_classes=num_classes, seed=seed, view=epoch, step=batch
        )

    def cutmix(epoch: int, batch: int) -> Mixing:
        return draw_cutmix(
            strength=options.cutmix,
            num_classes=num_classes,
            image_size=data.image_size,
            seed=seed,
            view=epoch,
            step=batch,
        )

    if options.mixup > 0:
        return mixup
    return cutmix if options.cutmix > 0 else None
