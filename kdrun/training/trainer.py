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
from kdrun.training.checkpoint_writer import Saver, Timetable
from kdrun.training.context import Job, Setting
from kdrun.training.epoch_metrics import epoch_line, forget_peak_memory, peak_memory, speed
from kdrun.training.evaluate import validate
from kdrun.training.interleaving import Stopwatch, Turns
from kdrun.training.loop import Recipe, checked, train_epoch
from kdrun.training.nonfinite import check_skipped, explained
from kdrun.training.optimizer import STATES
from kdrun.training.setup import make_objective, make_recipe, make_training
from kdrun.training.state import Training

Record = Callable[[dict[str, Any]], None]

LEAST_SCALE = 1e-3
"""Of the gradient scaler; at a lower one fp16 holds nothing of a gradient."""


def fit(
    job: Job,
    setting: Setting,
    network: nn.Module,
    normalizer: Normalizer,
    teachers: list[Teacher],
    record: Record,
) -> Turns[Training]:
    """Train the network from the last checkpoint, if there is one, to the last epoch.

    Leaves `metrics.jsonl`, the newest checkpoints and the best weights in the job's folder.

    Raises:
        Stopped: a signal asked for it; a checkpoint was written.
        NumericError: a loss, a logit or a gradient is not finite.
        OutputError: a file cannot be written; the last checkpoint is whole.
    """
    options, split = job.stage.train, setting.data.train
    objective, wanted = make_objective(job.stage, network, teachers, normalizer, setting)
    training = make_training(job.stage, network, objective, setting)
    resume(job, setting, training)
    check_room(job, training)
    for line in training.history:
        record(line)
    write_json_lines(job.folder / METRICS, training.history)
    recipe = make_recipe(job.stage, setting, normalizer, teachers, training, wanted)
    done = training.epoch * len(split) + training.batch * options.batch_size
    timetable = Timetable(options.checkpoint_every, training)
    with (
        Saver(job.folder / CHECKPOINTS, job.digest, options.keep_last) as saver,
        setting.reporter.stage(job.title, options.epochs, len(split), done) as progress,
    ):
        while training.epoch < options.epochs:
            line = yield from fit_epoch(job, setting, training, recipe, progress, saver, timetable)
            append_json_line(job.folder / METRICS, line)
            record(line)
            progress.epoch_done(line)
            warn_of_divergence(job, setting, training.history)
            last = training.epoch == options.epochs
            if timetable.due(training) or setting.stop or last:
                saver.save(training)
            if setting.stop and not last:
                raise Stopped(f"stopped after epoch {training.epoch} of {job.title}")
    return training


def warn_of_divergence(job: Job, setting: Setting, history: list[dict[str, Any]]) -> None:
    """Say at the epoch in which a loss rises far above its start that it did."""
    classes = len(setting.data.class_names)
    found = divergence(history, classes)
    if found is not None and divergence(history[:-1], classes) is None:
        setting.reporter.say(f"{job.title} {found}; try a lower train.lr", style="yellow")


def fit_epoch(
    job: Job,
    setting: Setting,
    training: Training,
    recipe: Recipe,
    progress: StageProgress,
    saver: Saver,
    timetable: Timetable,
) -> Turns[dict[str, Any]]:
    """Train one epoch, validate, keep the weights if they are the best; returns its metrics."""
    watch = Stopwatch(training.seconds)
    forget_peak_memory(setting.device)
    report = after_update(setting, training, recipe, progress, saver, timetable, watch)
    if training.batch == 0 and training.objective.fitted is not None:
        fit_projections(job.title, setting, training, recipe)
    try:
        means = yield from watch.timed(train_rest(job, setting, training, recipe, report))
        check_scale(job.title, training)
        line = epoch_line(job.stage, training, recipe, means)
        line |= speed(len(setting.data.train), watch.seconds, setting.inputs.size)
        line |= validate(job, setting, training, recipe.normalizer, saver)
    except (Stopped, DataError) as error:
        # A signal to the whole process group also ends the processes that decode images.
        if isinstance(error, DataError) and not setting.stop.asked:
            raise
        saver.save(training)
        raise Stopped(f"stopped in epoch {training.epoch + 1} of {job.title}") from error
    line["memory_mb"] = peak_memory(setting.device)
    training.history.append(line)
    training.totals.sums.zero_()
    training.epoch, training.batch, training.seconds = training.epoch + 1, 0, 0.0
    return line


def train_rest(
    job: Job,
    setting: Setting,
    training: Training,
    recipe: Recipe,
    report: Callable[[int, dict[str, float] | None], bool],
) -> Turns[dict[str, float]]:
    """Train the batches that are left of the epoch; returns the epoch's means.

    Raises:
        Stopped: a signal asked for it, between two updates.
        NumericError: a number is not finite; its update is saved.
    """
    first = training.batch
    batches = training_batches(job.stage, setting, training.epoch, first)
    remaining = setting.data.train.num_batches(job.stage.train.batch_size) - first
    try:
        with recipe.view(view_of(job.stage, training.epoch)):
            complete = yield from train_epoch(training, recipe, batches, remaining, report)
        means = checked(training, training.totals.sums.tolist())
    except NumericError as error:
        raise explained(error, job, setting, training, recipe, first) from error
    if not complete:
        raise Stopped("stopped between two updates")
    if training.totals.images == 0:
        raise NumericError(f"{job.title}: every update of epoch {training.epoch + 1} was skipped")
    return means


def after_update(
    setting: Setting,
    training: Training,
    recipe: Recipe,
    progress: StageProgress,
    saver: Saver,
    timetable: Timetable,
    watch: Stopwatch,
) -> Callable[[int, dict[str, float] | None], bool]:
    """What is done between two updates; see `train_epoch`."""

    def report(images: int, means: dict[str, float] | None) -> bool:
        progress.advance(images, means)
        training.seconds = watch.seconds
        if timetable.due(training):
            checked(training, training.totals.sums.tolist())  # lest a bad state is saved
            saver.save(training)
            recipe.save_view()
        return not setting.stop

    return report


def check_scale(title: str, training: Training) -> None:
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


def fit_projections(title: str, setting: Setting, training: Training, recipe: Recipe) -> None:
    """Fit the closed-form projections to the first training images, in eval mode.

    Raises:
        NumericError: a hidden state is not finite.
    """
    teacher = recipe.teacher
    assert teacher is not None

    def outputs() -> Iterator[tuple[Outputs, Outputs]]:
        for batch in islice(setting.data.train.batches(FIT_BATCH), FIT_BATCHES):
            views = Views(batch, None)
            with torch.no_grad(), setting.autocast():
                student = recipe.student(views.images(recipe.normalizer))
            yield student, teacher(views)

    training.student.eval()
    try:
        training.unexplained = training.objective.fit(outputs())
    except ValueError as error:
        where = f"the closed-form projection before epoch {training.epoch + 1}"
        raise NumericError(f"{title}: {where}: {error}") from error


def resume(job: Job, setting: Setting, training: Training) -> None:
    """Go on from the newest checkpoint of this stage that verifies."""
    state, broken = checkpoint.load_newest(job.folder / CHECKPOINTS, job.digest)
    for path in broken:
        setting.reporter.say(f"{path} is damaged and was passed over", style="yellow")
    if state is not None:
        checkpoint_state.restore(training, state)
        check_skipped(job, training.skipped)
        setting.reporter.say(f"{job.title}: going on from epoch {training.epoch + 1}")


def check_room(job: Job, training: Training) -> None:
    """Refuse to start where the disk has no room for two checkpoints.

    Raises:
        OutputError: says how much is needed.
    """
    numbers = 2 + STATES[job.stage.train.optimizer]
    size = 4 * sum(p.numel() for p in training.parameters()) * numbers
    needed, free = 2 * size, free_bytes(job.folder)
    if free < needed:
        raise OutputError(
            f"{job.folder}: {needed:,} bytes are needed for the checkpoints of {job.title}, "
            f"{free:,} are free"
        )
