"""Checks of a stage's training: room on the disk, updates that count, divergence."""

from typing import Any

from kdrun.analysis.divergence import divergence
from kdrun.errors import NumericError, OutputError
from kdrun.store.files import free_bytes
from kdrun.training.context import RunContext, StageRun
from kdrun.training.optimizer import STATES
from kdrun.training.state import TrainState

LEAST_SCALE = 1e-3
"""Of the gradient scaler; at a lower one fp16 holds nothing of a gradient."""


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


def check_images(title: str, training: TrainState) -> None:
    """See that an update of the epoch was good.

    Raises:
        NumericError: all were left out.
    """
    if training.totals.images == 0:
        raise NumericError(f"{title}: every update of epoch {training.epoch + 1} was skipped")


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


def warn_of_divergence(
    stage_run: StageRun, context: RunContext, history: list[dict[str, Any]]
) -> None:
    """Say at the epoch in which a loss rises far above its start that it did."""
    classes = len(context.data.class_names)
    found = divergence(history, classes)
    if found is not None and divergence(history[:-1], classes) is None:
        context.reporter.say(f"{stage_run.title} {found}; try a lower train.lr", style="yellow")
