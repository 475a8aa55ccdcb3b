"""Metrics of an epoch: a line of `metrics.jsonl`."""

from typing import Any

import torch

from kdrun.config.loss_mixture import uses_temperature
from kdrun.plan.stage import Stage
from kdrun.store.files import json_number
from kdrun.training.loop import LoopSettings
from kdrun.training.meters import CORRECT, GRADIENT, TOTAL
from kdrun.training.state import TrainState


def epoch_line(
    stage: Stage, training: TrainState, settings: LoopSettings, means: dict[str, float]
) -> dict[str, Any]:
    """Return the training metrics of an epoch: temperature, rate, loss, raw and weighted terms."""
    weights, numbers = training.objective.weights, training.objective.numbers()
    return {
        "epoch": training.epoch + 1,
        "update": training.update,
        "T": temperature_of(stage, training, settings),
        "lr": settings.learning_rate(training.update - 1),
        "loss": means[TOTAL],
        "terms": {
            name: {
                "raw": means[name],
                "weighted": weight * means[name],
                "weight": weight,
                "gradient_share": training.shares.get(name, 1.0),
                **numbers.get(name, {}),
            }
            for name, weight in weights.items()
        },
        "gradient_norm": means.get(GRADIENT),
        "skipped": training.skipped,
        "train_accuracy": means[CORRECT],
    }


def temperature_of(
    stage: Stage, training: TrainState, settings: LoopSettings
) -> float | str | None:
    """Return T of the epoch, for a trained T the final value; None if no term reads T."""
    if not uses_temperature(stage.loss):
        return None
    learned = [numbers["T"] for numbers in training.objective.numbers().values() if "T" in numbers]
    if learned:
        return learned[0]
    return json_number(settings.temperature(training.epoch))


def speed(images: int, seconds: float, side_by_side: int) -> dict[str, float]:
    """Return the throughput of an epoch, excluding pauses.

    For stages in lockstep their number is included: the time for shared work, such as images and
    teacher outputs, counts for the stage that needed the result first.
    """
    rate = images / max(seconds, 1e-9)
    line = {"images_per_second": round(rate, 1), "seconds": round(seconds, 3)}
    return line | ({"lockstep": side_by_side} if side_by_side > 1 else {})


def forget_peak_memory(device: torch.device) -> None:
    """Reset the peak-memory counter."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> float | None:
    """Return the peak of the device's memory in megabytes; None without a counter in torch."""
    if device.type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
