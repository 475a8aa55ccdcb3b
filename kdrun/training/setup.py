"""Set-up of a stage's training: state, objective, and settings of the loop."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch._functorch.config
from torch import Tensor, nn

from kdrun.catalog.optimizers import OPTIMIZERS
from kdrun.catalog.schedules import RATE_SCHEDULES, TEMPERATURE_SCHEDULES
from kdrun.config.loss_mixture import looks_inside
from kdrun.data.dataset import ImageData
from kdrun.data.mixing import Mixing, draw_cutmix, draw_mixup
from kdrun.data.normalizer import Normalizer
from kdrun.features.extractor import FeatureExtractor
from kdrun.features.inspection import inspect_model
from kdrun.losses.term import Outputs
from kdrun.models.heads import head_of
from kdrun.plan.stage import Stage
from kdrun.teachers.teacher import Teacher
from kdrun.training.batches import view_of
from kdrun.training.build_objective import ObjectiveModels, build_objective
from kdrun.training.context import RunContext
from kdrun.training.ema import WarmedAverage
from kdrun.training.loop import LoopSettings
from kdrun.training.lr_schedule import learning_rate_at
from kdrun.training.meters import GRADIENT, TEACHER, EpochMeters
from kdrun.training.objective import Objective
from kdrun.training.optimizer import build_optimizer
from kdrun.training.state import TrainState
from kdrun.training.teacher_outputs import teacher_outputs
from kdrun.training.temperature_schedule import temperature_at
from kdrun.training.term_models import ObservedLayers


def make_objective(
    stage: Stage,
    network: nn.Module,
    teachers: Sequence[Teacher],
    normalizer: Normalizer,
    context: RunContext,
) -> tuple[Objective, ObservedLayers]:
    """Build the stage's objective, and make the teachers observe the layers that terms read.

    Raises:
        ConfigError: a term names a layer that cannot be used.
    """
    student = teacher = None
    if looks_inside(stage.loss):
        example = next(iter(context.data.train.batches(2))).images
        student = inspect_model(stage.model.arch, network, normalizer(example))
        teacher = inspect_model(teachers[0].name, teachers[0].model, teachers[0].example)
    learned = stage.temperature.schedule == "learned"
    models = ObjectiveModels(
        num_classes=len(context.data.class_names),
        num_images=len(context.data.train),
        student=student,
        teacher=teacher,
        teacher_weights=stage.teacher_weights or None,
        learned_temperature=stage.temperature.warmup_epochs if learned else None,
        teacher_head=partial(head_of, teachers[0].model) if len(teachers) == 1 else None,
    )
    objective, wanted = build_objective(stage.loss, models)
    for position, one in enumerate(teachers):
        first = position == 0
        one.watch(wanted.teacher_hidden if first else (), wanted.teacher_attention if first else ())
    return objective.to(context.device), wanted


def make_train_state(
    stage: Stage, network: nn.Module, objective: Objective, context: RunContext
) -> TrainState:
    """Return a fresh state: optimizer, scaler, average of the weights, meters."""
    options, device, fp16 = stage.train, context.device, context.precision == "fp16"
    optimizer = build_optimizer(
        options.optimizer,
        [*network.parameters(), *objective.parameters()],
        lr=options.lr,
        weight_decay=options.weight_decay,
        **OPTIMIZERS[options.optimizer].values(options),
    )
    average = None
    if options.ema is not None:
        average = WarmedAverage(network, options.ema)
    return TrainState(
        student=network,
        objective=objective,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler(device.type, enabled=fp16),
        average=average,
        # In fp16 the scaler checks the gradients and skips updates that overflow.
        totals=EpochMeters(objective.weights, device, (TEACHER,) if fp16 else (TEACHER, GRADIENT)),
    )


def make_loop_settings(
    stage: Stage,
    context: RunContext,
    normalizer: Normalizer,
    teachers: Sequence[Teacher],
    training: TrainState,
    wanted: ObservedLayers,
) -> LoopSettings:
    """Return the settings of the stage's training loop."""
    options = stage.train
    batches = context.data.train.num_batches(options.batch_size)
    updates = -(-batches // options.accumulate)
    observed = FeatureExtractor(
        training.student,
        compiled(training.student) if options.compile else None,
        hidden=wanted.student_hidden,
        attention=wanted.student_attention,
    )
    return LoopSettings(
        seed=options.seed,
        device=context.device,
        precision=context.precision,
        accumulate=options.accumulate,
        grad_clip=options.grad_clip,
        max_skipped=options.max_skipped if options.on_nonfinite == "skip" else None,
        learning_rate=partial(
            learning_rate_at,
            updates=updates * options.epochs,
            peak=options.lr,
            schedule=options.schedule,
            warmup=round(options.warmup_epochs * updates),
            **RATE_SCHEDULES[options.schedule].values(options),
        ),
        temperature=temperature_schedule(stage),
        normalizer=normalizer,
        student=lambda images: Outputs(*observed(images)),
        teachers=teacher_outputs(stage, context, teachers),
        mix=make_mix(stage, context.data),
        views=context.inputs.views,
    )


def temperature_schedule(stage: Stage) -> Callable[[int], float]:
    """Return a function from epoch to T."""
    options = stage.temperature
    # A trained T is a parameter of its term, and labels alone have no T: nothing reads this value.
    name = options.schedule if TEMPERATURE_SCHEDULES[options.schedule].code else "constant"
    return partial(
        temperature_at,
        name,
        epochs=stage.train.epochs,
        start=stage.loss.T,
        **TEMPERATURE_SCHEDULES[name].values(options),
    )


def compiled(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Compile the model so that a graph allows several backward passes."""
    # The gradient shares need one backward pass per term through the first batch's graph.
    torch._functorch.config.donated_buffer = False
    # Otherwise code compiled for an earlier stage of this architecture, without the hooks, is used.
    torch.compiler.reset()
    # One graph per batch size: the graph of a batch must not depend on earlier batches.
    forward: Callable[[Tensor], Tensor] = torch.compile(model, dynamic=False)
    return forward


def make_mix(stage: Stage, data: ImageData) -> Callable[[int, int], Mixing] | None:
    """Return a function (epoch, batch) -> mixing of the batch; None without mixing."""
    options, num_classes = stage.train, len(data.class_names)
    seed = options.seed

    def mixup(epoch: int, batch: int) -> Mixing:
        return draw_mixup(
            strength=options.mixup,
            num_classes=num_classes,
            seed=seed,
            view=view_of(stage, epoch),
            step=batch,
        )

    def cutmix(epoch: int, batch: int) -> Mixing:
        return draw_cutmix(
            strength=options.cutmix,
            num_classes=num_classes,
            image_size=data.image_size,
            seed=seed,
            view=view_of(stage, epoch),
            step=batch,
        )

    if options.mixup > 0:
        return mixup
    return cutmix if options.cutmix > 0 else None
