"""Rows of a run's table of models, one per stage or per stage over seeds."""

from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any

from kdrun.analysis.intervals import wilson_interval
from kdrun.loggers.console import clock
from kdrun.loggers.tables import count, percent
from kdrun.report.figure import label
from kdrun.report.gain_words import signed
from kdrun.report.result_table import over_control, spread
from kdrun.report.run_files import RunFiles
from kdrun.store.summary import group_of, groups, places, stage_title, student_place

Row = dict[str, Any]


def stage_rows(files: RunFiles) -> list[Row]:
    """One row per stage, with the 95 % Wilson interval of its test accuracy."""
    images, shown = int(files.summary["test_images"]), student_place(files.summary)
    rows = []
    for place, stage in enumerate(files.summary["stages"]):
        accuracy = stage["accuracy"]["test_at_best_validation"]
        low, high = wilson_interval(round(accuracy * images), images)
        row = _row(files, [place]) | {"name": label(stage), "main": place == shown}
        rows.append(row | {"interval": f"{low:.2%} – {high:.2%}"})
    return rows


def mean_rows(files: RunFiles) -> list[Row]:
    """One row per stage over seeds: means, and the paired difference to the control."""
    shown = student_place(files.summary)
    control = group_of(files.summary, "control")
    rows = []
    for group in groups(files.summary):
        found = places(files.summary, group)
        row = _row(files, found) | {"name": stage_title(group[0]), "main": shown in found}
        rows.append(row | {"interval": over_control(group, control)})
    return rows


def _row(files: RunFiles, places: Sequence[int]) -> Row:
    """Sizes, accuracies and scores of stages that differ only in the seed."""
    stages = [files.summary["stages"][place] for place in places]
    models = [files.analysis["models"][place] for place in places] if files.analysis else []
    tests = [model["splits"]["test"] for model in models]
    largest = max(stage["parameters"] for stage in files.summary["stages"])
    new = [stage["seconds"] for stage in stages if not stage["reused"]]
    return {
        "parameters": count(stages[0]["parameters"]),
        "ratio": f"{largest / stages[0]['parameters']:.3g}×",
        "macs": count(stages[0]["macs"]),
        "validation": spread([stage["accuracy"]["best_validation"] for stage in stages], percent),
        "test": spread([s["accuracy"]["test_at_best_validation"] for s in stages], percent),
        "nll": average([float(test["nll"]) for test in tests], "{:.3f}".format),
        "calibration": average([test["calibration_error"] for test in tests], "{:.3f}".format),
        "gap": average([100 * model["gap"]["gap"] for model in models], signed),
        "time": clock(sum(new)) if new else "reused",
    }


def average(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """Format the mean, or a dash without values."""
    return shown(mean(values)) if values else "–"
