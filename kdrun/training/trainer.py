"""Training of a stage over epochs: validation, best weights, checkpoints, stopping."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import nn

from kdrun.data.batch_views import Views
from kdrun.data.normalizer import Normalizer
from kdrun.errors import DataError, NumericError, Stopped
from kdrun.loggers.console import StageProgress
from kdrun.losses.term import Outputs
from kdrun.store.files import append_json_line, write_json_lines
from kdrun.store.stages import CHECKPOINTS, METRICS
from kdrun.teachers.teacher import Teacher
from kdrun.training import checkpoint, checkpoint_state
from kdrun.training.batches import training_batches, view_of
from kdrun.training.checkpoint_writer import CheckpointSchedule, CheckpointWriter
from kdrun.training.checks import check_images, check_room, check_scale, warn_of_divergence
from kdrun.training.context import RunContext, StageRun
from kdrun.training.epoch_metrics import epoch_line, forget_peak_memory, peak_memory, speed
from kdrun.training.evaluate import validate
from kdrun.training.interleaving import Interleavable, Stopwatch
from kdrun.training.loop import LoopSettings, finite_means, train_epoch
from kdrun.training.nonfinite import check_skipped, save_snapshot
from kdrun.training.objective import fit_terms
from kdrun.training.setup import make_loop_settings, make_objective, make_train_state
from kdrun.training.state import TrainState

Record = Callable[[dict[str, Any]], None]


def fit(
    stage_run: StageRun,
    context: RunContext,
    network: nn.Module,
    normalizer: Normalizer,
    teachers: list[Teacher],
    record: Record,
) -> Interleavable[TrainState]:
    """Train the network from the last checkpoint, if any, to the last epoch.

    Write `metrics.jsonl`, the newest checkpoints and the best weights to the stage's folder.

    Raises:
        Stopped: a stop was requested by a signal; a checkpoint was written.
        NumericError: a loss, a logit or a gradient is not finite.
        OutputError: a file cannot be written; the last checkpoint is intact.
    """
    stage = stage_run.stage
    objective, wanted = make_objective(stage, network, teachers, normalizer, context)
    for section, pairs in objective.compared.items():
        line = f"{section} compares the layers {', '.join(pairs)} (student:teacher)"
        context.reporter.say(f"{stage_run.title}: {line}")
    state = make_train_state(stage, network, objective, context)
    settings = make_loop_settings(stage, context, normalizer, teachers, state, wanted)
    with StageTrainer.resume(stage_run, context, settings, state, record) as trainer:
        yield from trainer.run()
    return state


class StageTrainer:
    """Trainer of one stage, from the position of its state to the last epoch.

    Args:
        stage_run: the stage.
        context: objects shared by the run's stages.
        settings: settings of the loop.
        state: training state, changed in place.
        record: takes the metrics of each epoch.
        writer: writer of checkpoints and best weights.
        progress: progress display.
    """

    def __init__(
        self,
        stage_run: StageRun,
        context: RunContext,
        settings: LoopSettings,
        state: TrainState,
        record: Record,
        writer: CheckpointWriter,
        progress: StageProgress,
    ) -> None:
        self.stage_run = stage_run
        self.context = context
        self.settings = settings
        self.state = state
        self.record = record
        self.writer = writer
        self.progress = progress
        self.options = stage_run.stage.train
        self.schedule = CheckpointSchedule(self.options.checkpoint_every, state)
        self.watch = Stopwatch(state.seconds)

    @classmethod
    @contextmanager
    def resume(
        cls,
        stage_run: StageRun,
        context: RunContext,
        settings: LoopSettings,
        state: TrainState,
        record: Record,
    ) -> Iterator["StageTrainer"]:
        """Return a context with the trainer at the stage's newest checkpoint."""
        restore_newest(stage_run, context, state)
        check_room(stage_run, state)
        for line in state.history:
            record(line)
        write_json_lines(stage_run.folder / METRICS, state.history)
        options, images = stage_run.stage.train, len(context.data.train)
        done = state.epoch * images + state.batch * options.batch_size
        folder = stage_run.folder / CHECKPOINTS
        bar = context.reporter.stage(stage_run.title, options.epochs, images, done)
        with CheckpointWriter(folder, stage_run.digest, options.keep_last) as writer, bar as shown:
            yield cls(stage_run, context, settings, state, record, writer, shown)

    def run(self) -> Interleavable[None]:
        """Train the remaining epochs; write a checkpoint on a stop."""
        while self.state.epoch < self.options.epochs:
            line = yield from self.run_epoch()
            append_json_line(self.stage_run.folder / METRICS, line)
            self.record(line)
            self.progress.epoch_done(line)
            warn_of_divergence(self.stage_run, self.context, self.state.history)
            last = self.state.epoch == self.options.epochs
            stopped = bool(self.context.stop) and not last
            self.save_if_due(always=stopped or last)
            if stopped:
                raise Stopped(f"stopped after epoch {self.state.epoch} of {self.stage_run.title}")

    def run_epoch(self) -> Interleavable[dict[str, Any]]:
        """Train one epoch and validate; return the metrics."""
        self.watch = Stopwatch(self.state.seconds)
        try:
            line = yield from self.measure_epoch()
        except (Stopped, DataError) as error:
            # A signal to the whole process group also ends the processes that decode images.
            if isinstance(error, DataError) and not self.context.stop.asked:
                raise
            self.writer.save(self.state)
            number, title = self.state.epoch + 1, self.stage_run.title
            raise Stopped(f"stopped in epoch {number} of {title}") from error
        self.state.history.append(line)
        self.state.next_epoch()
        return line

    def measure_epoch(self) -> Interleavable[dict[str, Any]]:
        """Train the rest of the epoch, validate, and keep the weights if they are the best."""
        context, state, title = self.context, self.state, self.stage_run.title
        forget_peak_memory(context.device)
        if state.batch == 0 and state.objective.epoch_fits():
            fit_projections(title, context, state, self.settings)
        means = yield from self.watch.timed(self.train_rest())
        check_scale(title, state)
        line = epoch_line(self.stage_run.stage, state, self.settings, means)
        line |= speed(len(context.data.train), self.watch.seconds, context.inputs.size)
        line |= validate(self.stage_run, context, state, self.settings.normalizer, self.writer)
        return line | {"memory_mb": peak_memory(context.device)}

    def train_rest(self) -> Interleavable[dict[str, float]]:
        """Train the remaining batches of the epoch; return the epoch's means.

        Raises:
            Stopped: a stop was requested between two updates.
            NumericError: a value is not finite; the update is saved.
        """
        state, settings, first = self.state, self.settings, self.state.batch
        try:
            with settings.teachers.view(view_of(self.stage_run.stage, state.epoch)):
                complete = yield from self.train_from(first)
            means = finite_means(state, state.totals.sums.tolist())
        except NumericError as error:
            raise save_snapshot(
                error, self.stage_run, self.context, state, settings, first
            ) from error
        if not complete:
            raise Stopped("stopped between two updates")
        check_images(self.stage_run.title, state)
        return means

    def train_from(self, first: int) -> Interleavable[bool]:
        """Train the epoch's batches from number `first` on; return whether all were trained."""
        state, train = self.state, self.context.data.train
        batches = training_batches(self.stage_run.stage, self.context, state.epoch, first)
        remaining = train.num_batches(self.options.batch_size) - first
        return (yield from train_epoch(state, self.settings, batches, remaining, self.after_update))

    def after_update(self, images: int, means: dict[str, float] | None) -> bool:
        """Report and save after an update; return whether to continue. See `train_epoch`."""
        self.progress.advance(images, means)
        self.state.seconds = self.watch.seconds
        self.save_if_due()
        return not self.context.stop

    def save_if_due(self, always: bool = False) -> None:
        """Write a checkpoint if due, or always.

        Raises:
            NumericError: the state is not finite; nothing is saved.
        """
        if self.schedule.due(self.state) or always:
            finite_means(self.state, self.state.totals.sums.tolist())
            self.writer.save(self.state)
            self.settings.teachers.save()


FIT_BATCH, FIT_BATCHES = 128, 16


def fit_projections(
    title: str, context: RunContext, training: TrainState, settings: LoopSettings
) -> None:
    """Fit the closed-form projections to the first training images, in eval mode.

    Raises:
        NumericError: a hidden state is not finite.
    """

    def outputs() -> Iterator[tuple[Outputs, Outputs]]:
        for batch in islice(context.data.train.batches(FIT_BATCH), FIT_BATCHES):
            views = Views(batch, None)
            with torch.no_grad(), context.autocast():
                student = settings.student(views.images(settings.normalizer))
            teacher = settings.teachers(views)
            assert teacher is not None
            yield student, teacher

    training.student.eval()
    try:
        fit_terms(training.objective.epoch_fits(), outputs())
    except ValueError as error:
        where = f"the closed-form projection before epoch {training.epoch + 1}"
        raise NumericError(f"{title}: {where}: {error}") from error


def restore_newest(stage_run: StageRun, context: RunContext, training: TrainState) -> None:
    """Restore the newest intact checkpoint of the stage, if any."""
    state, broken = checkpoint.load_newest(stage_run.folder / CHECKPOINTS, stage_run.digest)
    for path in broken:
        context.reporter.say(f"{path} is damaged and was skipped", style="yellow")
    if state is not None:
        checkpoint_state.restore(training, state)
        check_skipped(stage_run, training.skipped)
        context.reporter.say(f"{stage_run.title}: resumed at epoch {training.epoch + 1}")
