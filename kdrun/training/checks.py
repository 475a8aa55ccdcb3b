"""Checks of a stage's training: disk space, skipped updates, divergence."""

from typing import Any

from kdrun.analysis.divergence import divergence
from kdrun.errors import NumericError, OutputError
from kdrun.store.files import free_bytes
from kdrun.training.context import RunContext, StageRun
from kdrun.training.optimizer import STATES
from kdrun.training.state import TrainState

LEAST_SCALE = 1e-3
"""Smallest useful scale of the gradient scaler; below it fp16 gradients vanish."""


def check_room(stage_run: StageRun, training: TrainState) -> None:
    """Check that the disk has space for two checkpoints.

    Raises:
        OutputError: the space does not suffice; says how much is needed.
    """
    numbers = 2 + STATES[stage_run.stage.train.optimizer]
    size = 4 * sum(p.numel() for p in training.parameters()) * numbers
    needed, free = 2 * size, free_bytes(stage_run.folder)
    if free < needed:
        raise OutputError(
            f"{stage_run.folder}: {needed:,} bytes are needed for the checkpoints of "
            f"{stage_run.title}, only {free:,} are free"
        )


def check_images(title: str, training: TrainState) -> None:
    """Check that not every update of the epoch was skipped.

    Raises:
        NumericError: every update was skipped.
    """
    if training.totals.images == 0:
        raise NumericError(f"{title}: every update of epoch {training.epoch + 1} was skipped")


def check_scale(title: str, training: TrainState) -> None:
    """Check that fp16 gradients do not overflow at every scale; waits for the device.

    Raises:
        NumericError: the scale fell so low that all updates are skipped.
    """
    if training.scaler.is_enabled() and training.scaler.get_scale() < LEAST_SCALE:
        raise NumericError(
            f"{title}: in epoch {training.epoch + 1} the gradients overflow fp16 at every scale, "
            "and updates are skipped; use train.precision=bf16 or fp32, or a lower train.lr"
        )


def warn_of_divergence(
    stage_run: StageRun, context: RunContext, history: list[dict[str, Any]]
) -> None:
    """Warn in the epoch in which a loss rises far above its initial value."""
    classes = len(context.data.class_names)
    found = divergence(history, classes)
    if found is not None and divergence(history[:-1], classes) is None:
        context.reporter.say(f"{stage_run.title} {found}; try a lower train.lr", style="yellow")
