"""Diagnostic snapshot of an update with non-finite values."""

from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from kdrun.data.batch import Batch
from kdrun.errors import NumericError, some_of
from kdrun.store.files import json_number, write_atomic, write_sealed
from kdrun.store.folders import make_folder, refuse_link, remove_file
from kdrun.training.batches import training_batches
from kdrun.training.checkpoint import save_weights, weights_of
from kdrun.training.context import RunContext, StageRun
from kdrun.training.loop import LoopSettings
from kdrun.training.state import TrainState

REMEDY = "a lower train.lr, train.grad_clip=1, train.precision=fp32 or train.on_nonfinite=skip"


def save_snapshot(
    error: NumericError,
    stage_run: StageRun,
    context: RunContext,
    training: TrainState,
    settings: LoopSettings,
    first: int,
) -> NumericError:
    """Save the update's images, and return an error that names the folder.

    Args:
        first: number of the first batch of the epoch in this process.

    The stage's `nonfinite/` then has `report.json`, `batch.safetensors` (images as uint8, labels
    and indices), and on a CPU `weights.safetensors`, the student before the update.
    """
    start = max(first, training.totals.good * settings.accumulate)
    batches = training_batches(stage_run.stage, context, training.epoch, start)
    group = list(islice(batches, settings.accumulate))
    indices = torch.cat([batch.indices for batch in group]).tolist()
    folder = make_folder(stage_run.folder / "nonfinite", stage_run.folder)
    write_atomic(folder / "batch.safetensors", save(joined(group)))
    if context.device.type == "cpu":
        save_weights(folder / "weights.safetensors", weights_of(training.student))
    message = f"{stage_run.title}: {error}"
    write_sealed(folder / "report.json", report(message, training, settings, start, indices))
    return NumericError(f"{message} (images {some_of(indices)}), saved in {folder}; try {REMEDY}")


def check_skipped(stage_run: StageRun, skipped: int) -> None:
    """Check that a stage skipped no more updates than its run allows.

    A stage from the store may have been trained with other limits.

    Raises:
        NumericError: the stage skipped more.
    """
    options = stage_run.stage.train
    allowed = options.max_skipped if options.on_nonfinite == "skip" else 0
    if skipped > allowed:
        raise NumericError(
            f"{stage_run.title}: a run with train.on_nonfinite=skip skipped {skipped} non-finite "
            f"updates, this run allows {allowed}; try {REMEDY}"
        )


def joined(group: list[Batch]) -> dict[str, Tensor]:
    """Return the batches as one, on the CPU."""
    fields = zip(*group, strict=True)
    named = zip(Batch._fields, fields, strict=True)
    return {name: torch.cat(parts).cpu().contiguous() for name, parts in named}


def report(
    message: str, training: TrainState, settings: LoopSettings, batch: int, indices: list[int]
) -> dict[str, Any]:
    """Return position and sums of the epoch as JSON data."""
    sums = zip(training.totals.names, training.totals.sums.tolist(), strict=True)
    return {
        "format": 1,
        "error": message,
        "epoch": training.epoch + 1,
        "update": training.update + 1,
        "batch": batch + 1,
        "indices": indices,
        "sums": {name: json_number(value) for name, value in sums},
        "T": json_number(settings.temperature(training.epoch)),
        "lr": settings.learning_rate(training.update),
        "seed": settings.seed,
    }


def leave_no_report(folder: Path) -> None:
    """Remove the snapshot of an earlier attempt after the stage is done."""
    refuse_link(folder / "nonfinite")
    for name in ("report.json", "batch.safetensors", "weights.safetensors"):
        remove_file(folder / "nonfinite" / name)
