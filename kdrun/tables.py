"""The tables and sentences that close a run or a sweep; they read summaries, never live objects."""

import math
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kdrun.progress import clock


def percent(fraction: float | None) -> str:
    """`97.24%`, or a dash."""
    return "-" if fraction is None else f"{fraction:.2%}"


def count(number: float) -> str:
    """`11.7 M`: a large count in three digits."""
    for unit in ("", " k", " M", " G"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g} T"


def stage_of(summary: dict[str, Any], role: str) -> dict[str, Any] | None:
    """The run's last stage of the role."""
    return next((s for s in reversed(summary["stages"]) if s["role"] == role), None)


def plain_table(title: str) -> Table:
    """A table that fits 80 columns: rules only below the head and at the ends."""
    return Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def add_columns(table: Table, *names: str) -> None:
    """Columns of numbers."""
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def console() -> Console:
    """Where tables go: as wide as the terminal, or 120 columns in a file or pipe."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def closing_table(summary: dict[str, Any]) -> Table:
    """A row a stage: size, and accuracy on validation (last, best) and test (of the best)."""
    table = plain_table(f"{summary['dataset']}, seed {summary['seed']}")
    table.add_column("stage", no_wrap=True)
    add_columns(table, "params", "MACs", "ratio", "val last", "val best", "test", "time")
    largest = max(stage["parameters"] for stage in summary["stages"])
    for stage in summary["stages"]:
        accuracy = stage["accuracy"]
        table.add_row(
            f"{stage['role']} {stage['arch']}",
            count(stage["parameters"]),
            count(stage["macs"]),
            f"{largest / stage['parameters']:.3g}x",
            percent(accuracy["last"]),
            percent(accuracy["best_validation"]),
            percent(accuracy["test_at_best_validation"]),
            "reused" if stage["reused"] else clock(stage["seconds"]),
            style="bold" if stage["role"] == "student" else None,
        )
    return table


def verdict(summary: dict[str, Any]) -> list[str]:
    """What distillation gave: the student against its control, and against its teacher."""
    student, control = stage_of(summary, "student"), stage_of(summary, "control")
    teacher = stage_of(summary, "teacher")
    lines = []
    if student and control:
        gain = points(student) - points(control)
        lines.append(
            f"distillation gave {gain:+.2f} points of test accuracy over the control, the same "
            f"student and seed without a teacher ({sampling(summary)})"
        )
    if student and teacher:
        kept = points(student) / max(points(teacher), 1e-9)
        ratio = teacher["parameters"] / student["parameters"]
        small = "; below 2x there is little to compress" if ratio < 2 else ""
        lines.append(
            f"the student is {ratio:.3g}x smaller and keeps {kept:.1%} of the accuracy{small}"
        )
    return lines


def points(stage: dict[str, Any]) -> float:
    """Test accuracy in percent."""
    return 100 * stage["accuracy"]["test_at_best_validation"]


def sampling(summary: dict[str, Any]) -> str:
    """How much of a difference chance alone explains, for one seed and this test set."""
    images = summary["test_images"]
    accuracy = points(stage_of(summary, "student") or {}) / 100
    error = 100 * math.sqrt(accuracy * (1 - accuracy) / images)
    return f"one seed; standard error of either accuracy {error:.2f} points on {images} images"
