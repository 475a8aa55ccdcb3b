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
from kdrun.training.context import Job, Setting
from kdrun.training.loop import Recipe
from kdrun.training.state import Training

REMEDY = "a lower train.lr, train.grad_clip=1, train.precision=fp32 or train.on_nonfinite=skip"


def explained(
    error: NumericError, job: Job, setting: Setting, training: Training, recipe: Recipe, first: int
) -> NumericError:
    """Save the update's images and say where they are.

    Args:
        first: number of the batch with which this process began the epoch.

    Leaves in the stage's `nonfinite/`: `report.json`, `batch.safetensors` (images as uint8, labels
    and indices), and on a CPU `weights.safetensors`, the student before the update.
    """
    start = max(first, training.totals.good * recipe.accumulate)
    batches = training_batches(job.stage, setting, training.epoch, start)
    group = list(islice(batches, recipe.accumulate))
    indices = torch.cat([batch.indices for batch in group]).tolist()
    folder = make_folder(job.folder / "nonfinite", job.folder)
    write_atomic(folder / "batch.safetensors", save(joined(group)))
    if setting.device.type == "cpu":
        save_weights(folder / "weights.safetensors", weights_of(training.student))
    told = f"{job.title}: {error}"
    write_sealed(folder / "report.json", report(told, training, recipe, start, indices))
    return NumericError(
        f"{told} (images {some_of(indices)}), which is saved in {folder}; try {REMEDY}"
    )


def check_skipped(job: Job, skipped: int) -> None:
    """Refuse a stage that left out more updates than its run allows, and went on.

    Its result is not what the run would have come to.

    Raises:
        NumericError: it did.
    """
    options = job.stage.train
    allowed = options.max_skipped if options.on_nonfinite == "skip" else 0
    if skipped > allowed:
        raise NumericError(
            f"{job.title}: {skipped} of its updates were not finite and were left out by a run "
            f"with train.on_nonfinite=skip, this one allows {allowed}; try {REMEDY}"
        )


def joined(group: list[Batch]) -> dict[str, Tensor]:
    """The batches as one, on the CPU."""
    fields = zip(*group, strict=True)
    named = zip(Batch._fields, fields, strict=True)
    return {name: torch.cat(parts).cpu().contiguous() for name, parts in named}


def report(
    told: str, training: Training, recipe: Recipe, batch: int, indices: list[int]
) -> dict[str, Any]:
    """The position and the sums of the epoch, as JSON data."""
    sums = zip(training.totals.names, training.totals.sums.tolist(), strict=True)
    return {
        "format": 1,
        "error": told,
        "epoch": training.epoch + 1,
        "update": training.update + 1,
        "batch": batch + 1,
        "indices": indices,
        "sums": {name: json_number(value) for name, value in sums},
        "T": json_number(recipe.temperature(training.epoch)),
        "lr": recipe.learning_rate(training.update),
        "seed": recipe.seed,
    }


def leave_no_report(folder: Path) -> None:
    """Remove what an earlier attempt of the stage left, once the stage is done."""
    refuse_link(folder / "nonfinite")
    for name in ("report.json", "batch.safetensors", "weights.safetensors"):
        remove_file(folder / "nonfinite" / name)
