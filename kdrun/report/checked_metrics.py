"""Consistency checks between a run's metrics and its summary."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import DamagedError
from kdrun.store.formats import METRIC
from kdrun.store.run_folder import METRICS
from kdrun.store.shapes import read_shaped_lines
from kdrun.store.summary import Entry

Lines = Sequence[Mapping[str, Any]]


def read_metrics(folder: Path, summary: Entry) -> list[dict[str, Any]]:
    """Read and check the epochs of a finished run's stages.

    Raises:
        DamagedError: they are malformed, or do not match the stages.
    """
    metrics = read_shaped_lines(folder / METRICS, METRIC)
    check_metrics(folder, summary, metrics)
    return metrics


def check_metrics(folder: Path, summary: Entry, metrics: Lines) -> None:
    """Check that every stage has the epochs and values that the summary implies.

    Raises:
        DamagedError: a stage does not.
    """
    stages = summary["stages"]
    others = {line["stage"] for line in metrics} - set(range(len(stages)))
    if others:
        fault = f"it has epochs of stage {min(others)}, the run has {len(stages)} stages"
        raise DamagedError(f"{folder / METRICS} is damaged: {fault}")
    for place, stage in enumerate(stages):
        lines = [line for line in metrics if line["stage"] == place]
        if mismatch := next(_mismatches(stage, lines), None):
            raise DamagedError(f"{folder / METRICS} is damaged: stage {place} {mismatch}")


def _mismatches(stage: Entry, lines: Lines) -> Iterator[str]:
    """Contradictions between a stage's summary and its epochs."""
    epochs = [line["epoch"] for line in lines]
    if epochs != list(range(1, stage["epochs"] + 1)):
        yield f"has the epochs {_brief(epochs)}, not 1 to {stage['epochs']}"
    held_out = stage["accuracy"]["last"] is not None
    missing = [line["epoch"] for line in lines if (line["validation_accuracy"] is None) == held_out]
    if missing:
        images = "has" if held_out else "has no"
        yield f"{images} validation images, unlike epoch {missing[0]}"
    if len({line["T"] is None for line in lines}) > 1:
        yield "has a T in some epochs and none in others"


def _brief(epochs: Sequence[int]) -> str:
    shown = ", ".join(map(str, epochs[:6]))
    return f"{shown}, ..." if len(epochs) > 6 else shown or "none"
