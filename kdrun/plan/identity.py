"""The identity of a stage: all that determines its result, as JSON data."""

from dataclasses import asdict
from typing import Any

from kdrun.catalog.schedules import TEMPERATURE_METHODS, TEMPERATURE_SCHEDULES
from kdrun.catalog.tables import TABLES
from kdrun.config.loss_mixture import cache_identity, mixture_identity, uses_temperature
from kdrun.config.schema import TrainConfig
from kdrun.plan.stage import Stage
from kdrun.store.files import json_number

FORMAT = 4
"""Version of what a stage computes; raised when the same config would give other weights."""

# Where and how fast a stage runs, not what it computes.
NO_IDENTITY = {
    "device",
    "workers",
    "threads",
    "eval_batch_size",
    "checkpoint_every",
    "keep_last",
    "on_nonfinite",
    "max_skipped",
    "compile",
    "lockstep",
}


def identity(
    stage: Stage,
    *,
    data: str,
    augment: str,
    precision: str,
    weights: dict[str, Any] | None,
    teachers: list[str],
) -> dict[str, Any]:
    """All that determines a stage's result, as JSON data.

    Args:
        data: fingerprint of the images, labels and splits.
        augment: name of the augmentation.
        precision: the precision resolved for the device.
        weights: hash or name of the weights that the model starts from, the key of their tensors
            in the file if given, and their normalisation.
        teachers: hashes of the stages it learns from.
    """
    model = asdict(stage.model) | {"weights": weights}
    del model["weights_key"]  # in `weights`
    if not stage.model.normalization.mean:
        del model["normalization"]
    if stage.pretrained:
        return {"format": FORMAT, "model": model, "data": data, "precision": precision}
    cache = cache_identity(stage.loss, stage.cache)
    left_out = NO_IDENTITY | _options_of_other_rows(stage.train)
    train = {k: v for k, v in asdict(stage.train).items() if k not in left_out}
    return {
        "format": FORMAT,
        "model": model,
        "data": data,
        "augment": augment,
        "train": train | {"precision": precision},
        "loss": _loss_identity(stage),
        "teachers": teachers,
        "teacher_weights": list(stage.teacher_weights),
        **({} if stage.origin is None else {"origin": list(stage.origin)}),
        **({"cache": cache} if cache else {}),
    }


def _loss_identity(stage: Stage) -> dict[str, Any]:
    loss: dict[str, Any] = {"terms": mixture_identity(stage.loss)}
    schedule = stage.temperature.schedule
    row = TEMPERATURE_SCHEDULES[schedule]
    if uses_temperature(stage.loss):
        loss["T"] = json_number(stage.loss.T) if row.starts_at_T else None
        options = row.values(stage.temperature)
        if "method" in options:
            own = TEMPERATURE_METHODS[stage.temperature.method].options
            options |= {name: getattr(stage.temperature, name) for name in own}
        loss["temperature"] = {"schedule": schedule} | options
    return loss


def _options_of_other_rows(train: TrainConfig) -> set[str]:
    """Return the options of `train` that belong to other optimizers and schedules."""
    tables = [table for table in TABLES if table.section == "train"]
    return {
        name
        for table in tables
        for row in table.rows.values()
        for name in row.option_names
        if table.unread(name, getattr(train, table.key.partition(".")[2]))
    }
