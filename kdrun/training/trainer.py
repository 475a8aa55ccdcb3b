"""Training of a stage epoch by epoch: validate, keep the best, checkpoint, stop."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import nn

from kdrun.analysis.divergence import divergence
from kdrun.data.batch_views import Views
from kdrun.data.normalizer import Normalizer
from kdrun.errors import DataError, NumericError, OutputError, Stopped
from kdrun.loggers.console import StageProgress
from kdrun.losses.term import Outputs
from kdrun.store.files import append_json_line, free_bytes, write_json_lines
from kdrun.store.stages import CHECKPOINTS, METRICS
from kdrun.teachers.teacher import Teacher
from kdrun.training import checkpoint, checkpoint_state
from kdrun.training.batches import training_batches, view_of
from kdrun.training.checkpoint_writer import CheckpointSchedule, CheckpointWriter
from kdrun.training.context import RunContext, StageRun
from kdrun.training.epoch_metrics import epoch_line, forget_peak_memory, peak_memory, speed
from kdrun.training.evaluate import validate
from kdrun.training.interleaving import Interleavable, Stopwatch
from kdrun.training.loop import LoopSettings, finite_means, train_epoch
from kdrun.training.nonfinite import check_skipped, save_snapshot
from kdrun.training.objective import fit_terms
from kdrun.training.optimizer import STATES
from kdrun.training.setup import make_loop_settings, make_objective, make_train_state
from kdrun.training.state import TrainState

Record = Callable[[dict[str, Any]], None]

LEAST_SCALE = 1e-3
"""Of the gradient scaler; at a lower one fp16 holds nothing of a gradient."""


def fit(
    stage_run: StageRun,
    context: RunContext,
    network: nn.Module,
    normalizer: Normalizer,
    teachers: list[Teacher],
    record: Record,
) -> Interleavable[TrainState]:
    """Train the network from the last checkpoint, if there is one, to the last epoch.

    Leaves `metrics.jsonl`, the newest checkpoints and the best weights in the job's folder.

    Raises:
        Stopped: a signal asked for it; a checkpoint was written.
        NumericError: a loss, a logit or a gradient is not finite.
        OutputError: a file cannot be written; the last checkpoint is whole.
    """
    options, split = stage_run.stage.train, context.data.train
    objective, wanted = make_objective(stage_run.stage, network, teachers, normalizer, context)
    training = make_train_state(stage_run.stage, network, objective, context)
    resume(stage_run, context, training)
    check_room(stage_run, training)
    for line in training.history:
        record(line)
    write_json_lines(stage_run.folder / METRICS, training.history)
    settings = make_loop_settings(stage_run.stage, context, normalizer, teachers, training, wanted)
    done = training.epoch * len(split) + training.batch * options.batch_size
    timetable = CheckpointSchedule(options.checkpoint_every, training)
    with (
        CheckpointWriter(
            stage_run.folder / CHECKPOINTS, stage_run.digest, options.keep_last
        ) as saver,
        context.reporter.stage(stage_run.title, options.epochs, len(split), done) as progress,
    ):
        while training.epoch < options.epochs:
            line = yield from fit_epoch(
                stage_run, context, training, settings, progress, saver, timetable
            )
            append_json_line(stage_run.folder / METRICS, line)
            record(line)
            progress.epoch_done(line)
            warn_of_divergence(stage_run, context, training.history)
            last = training.epoch == options.epochs
            if timetable.due(training) or context.stop or last:
                saver.save(training)
            if context.stop and not last:
                raise Stopped(f"stopped after epoch {training.epoch} of {stage_run.title}")
    return training


def warn_of_divergence(
    stage_run: StageRun, context: RunContext, history: list[dict[str, Any]]
) -> None:
    """Say at the epoch in which a loss rises far above its start that it did."""
    classes = len(context.data.class_names)
    found = divergence(history, classes)
    if found is not None and divergence(history[:-1], classes) is None:
        context.reporter.say(f"{stage_run.title} {found}; try a lower train.lr", style="yellow")


def fit_epoch(
    stage_run: StageRun,
    context: RunContext,
    training: TrainState,
    settings: LoopSettings,
    progress: StageProgress,
    saver: CheckpointWriter,
    timetable: CheckpointSchedule,
) -> Interleavable[dict[str, Any]]:
    """Train one epoch, validate, keep the weights if they are the best; returns its metrics."""
    watch = Stopwatch(training.seconds)
    forget_peak_memory(context.device)
    report = after_update(context, training, settings, progress, saver, timetable, watch)
    if training.batch == 0 and training.objective.epoch_fits():
        fit_projections(stage_run.title, context, training, settings)
    try:
        means = yield from watch.timed(train_rest(stage_run, context, training, settings, report))
        check_scale(stage_run.title, training)
        line = epoch_line(stage_run.stage, training, settings, means)
        line |= speed(len(context.data.train), watch.seconds, context.inputs.size)
        line |= validate(stage_run, context, training, settings.normalizer, saver)
    except (Stopped, DataError) as error:
        # A signal to the whole process group also ends the processes that decode images.
        if isinstance(error, DataError) and not context.stop.asked:
            raise
        saver.save(training)
        raise Stopped(f"stopped in epoch {training.epoch + 1} of {stage_run.title}") from error
    line["memory_mb"] = peak_memory(context.device)
    training.history.append(line)
    training.totals.sums.zero_()
    training.epoch, training.batch, training.seconds = training.epoch + 1, 0, 0.0
    return line


def train_rest(
    stage_run: StageRun,
    context: RunContext,
    training: TrainState,
    settings: LoopSettings,
    report: Callable[[int, dict[str, float] | None], bool],
) -> Interleavable[dict[str, float]]:
    """Train the batches that are left of the epoch; returns the epoch's means.

    Raises:
        Stopped: a signal asked for it, between two updates.
        NumericError: a number is not finite; its update is saved.
    """
    first = training.batch
    batches = training_batches(stage_run.stage, context, training.epoch, first)
    remaining = context.data.train.num_batches(stage_run.stage.train.batch_size) - first
    try:
        with settings.view(view_of(stage_run.stage, training.epoch)):
            complete = yield from train_epoch(training, settings, batches, remaining, report)
        means = finite_means(training, training.totals.sums.tolist())
    except NumericError as error:
        raise save_snapshot(error, stage_run, context, training, settings, first) from error
    if not complete:
        raise Stopped("stopped between two updates")
    if training.totals.images == 0:
        raise NumericError(
            f"{stage_run.title}: every update of epoch {training.epoch + 1} was skipped"
        )
    return means


def after_update(
    context: RunContext,
    training: TrainState,
    settings: LoopSettings,
    progress: StageProgress,
    saver: CheckpointWriter,
    timetable: CheckpointSchedule,
    watch: Stopwatch,
) -> Callable[[int, dict[str, float] | None], bool]:
    """What is done between two updates; see `train_epoch`."""

    def report(images: int, means: dict[str, float] | None) -> bool:
        progress.advance(images, means)
        training.seconds = watch.seconds
        if timetable.due(training):
            finite_means(training, training.totals.sums.tolist())  # lest a bad state is saved
            saver.save(training)
            settings.save_view()
        return not context.stop

    return report


def check_scale(title: str, training: TrainState) -> None:
    """See that fp16 holds the gradients at some scale; waits for the device.

    Raises:
        NumericError: updates are left out one after the other.
    """
    if training.scaler.is_enabled() and training.scaler.get_scale() < LEAST_SCALE:
        raise NumericError(
            f"{title}: in epoch {training.epoch + 1} the gradients overflow fp16 at every scale, "
            "and updates are left out; use train.precision=bf16 or fp32, or a lower train.lr"
        )


FIT_BATCH, FIT_BATCHES = 128, 16


def fit_projections(
    title: str, context: RunContext, training: TrainState, settings: LoopSettings
) -> None:
    """Fit the closed-form projections to the first training images, in eval mode.

    Raises:
        NumericError: a hidden state is not finite.
    """
    teacher = settings.teacher
    assert teacher is not None

    def outputs() -> Iterator[tuple[Outputs, Outputs]]:
        for batch in islice(context.data.train.batches(FIT_BATCH), FIT_BATCHES):
            views = Views(batch, None)
            with torch.no_grad(), context.autocast():
                student = settings.student(views.images(settings.normalizer))
            yield student, teacher(views)

    training.student.eval()
    try:
        fit_terms(training.objective.epoch_fits(), outputs())
    except ValueError as error:
        where = f"the closed-form projection before epoch {training.epoch + 1}"
        raise NumericError(f"{title}: {where}: {error}") from error


def resume(stage_run: StageRun, context: RunContext, training: TrainState) -> None:
    """Go on from the newest checkpoint of this stage that verifies."""
    state, broken = checkpoint.load_newest(stage_run.folder / CHECKPOINTS, stage_run.digest)
    for path in broken:
        context.reporter.say(f"{path} is damaged and was passed over", style="yellow")
    if state is not None:
        checkpoint_state.restore(training, state)
        check_skipped(stage_run, training.skipped)
        context.reporter.say(f"{stage_run.title}: going on from epoch {training.epoch + 1}")


def check_room(stage_run: StageRun, training: TrainState) -> None:
    """Refuse to start where the disk has no room for two checkpoints.

    Raises:
        OutputError: says how much is needed.
    """
    numbers = 2 + STATES[stage_run.stage.train.optimizer]
    size = 4 * sum(p.numel() for p in training.parameters()) * numbers
    needed, free = 2 * size, free_bytes(stage_run.folder)
    if free < needed:
        raise OutputError(
            f"{stage_run.folder}: {needed:,} bytes are needed for the checkpoints of "
            f"{stage_run.title}, {free:,} are free"
        )
