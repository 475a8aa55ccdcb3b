"""Consistency checks of a stage's summary: figures that depend on each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]
_ABSENT = object()
"""Marker for a value not written by earlier versions of kdrun."""


def stage_faults(stage: Entry) -> Iterator[str]:
    """Contradictions within a stage's summary, in words; assumes a checked shape.

    Given weights (zero epochs) have no speed, and are evaluated on training images only if there
    is no validation split.
    """
    accuracy, epochs = stage["accuracy"], stage["epochs"]
    held_out = accuracy["best_validation"] is not None
    validated = f"accuracy.best_validation {accuracy['best_validation']}"
    trained = f"{epochs} epochs"
    expected = (
        ("accuracy.last", accuracy["last"], held_out, validated),
        (
            "accuracy.best_validation_loss",
            accuracy.get("best_validation_loss", _ABSENT),
            held_out,
            validated,
        ),
        ("accuracy.train", accuracy["train"], epochs > 0 or not held_out, trained),
        ("images_per_second", stage.get("images_per_second", _ABSENT), epochs > 0, trained),
    )
    for name, value, known, context in expected:
        if value is not _ABSENT and (value is not None) != known:
            yield f"{name} is {value} with {context}"
    best = stage.get("best_epoch", epochs)
    if not min(1, epochs) <= best <= epochs:
        yield f"best_epoch is {best} of {trained}"
    certainty = stage.get("certainty", {"calibration_T": 1.0})
    if certainty["calibration_T"] is None and certainty["nll"] != certainty["calibrated_nll"]:
        yield "certainty.calibration_T is None, though another T changes the loss"


def run_faults(stages: Sequence[Entry]) -> Iterator[str]:
    """Contradictions within and between the stages of a run."""
    for place, stage in enumerate(stages):
        yield from (f"stage {place}: {fault}" for fault in stage_faults(stage))
    known = [stage["accuracy"]["best_validation"] is not None for stage in stages]
    if len(set(known)) > 1:
        yield (
            f"stage {known.index(True)} has a validation accuracy and stage "
            f"{known.index(False)} has none"
        )
