"""Closing table and notes of a run, from its summary."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

from rich.table import Table

from kdrun.loggers.console import clock
from kdrun.loggers.tables import add_columns, count, percent, plain_table
from kdrun.report.gain_words import gain_cell
from kdrun.report.gains import stages_gain
from kdrun.report.ties import control_p_words
from kdrun.store.summary import Entry, group_of, groups, result_of, seeds, stage_title

OVER_CONTROL = "over control\n[95 %]"
"""Head of the column of paired differences to the control."""


def closing_table(summary: dict[str, Any]) -> Table:
    """One row per stage: size, validation accuracy (last, best) and test accuracy (of the best).

    With several seeds: mean and deviation, and the paired difference to the control with its 95 %
    interval.
    """
    several = len(seeds(summary)) > 1
    chosen = f"seed {summary['seed']}"
    if several:
        chosen = f"seeds {', '.join(map(str, seeds(summary)))}, mean ± deviation"
    spare = ("val last", "MACs", "time", "ratio", "val best")
    table = plain_table(f"{summary['dataset']}, {chosen}", spare)
    table.add_column("stage", no_wrap=True)
    over = [OVER_CONTROL] if several else []
    add_columns(table, "params", "MACs", "ratio", "val last", "val best", "test", *over, "time")
    largest = max(stage["parameters"] for stage in summary["stages"])
    result, control = result_of(summary), group_of(summary, "control")
    for group in groups(summary):
        first = group[0]
        accuracies = [
            spread([stage["accuracy"][name] for stage in group], percent)
            for name in ("last", "best_validation", "test_at_best_validation")
        ]
        new = [stage["seconds"] for stage in group if not stage["reused"]]
        table.add_row(
            stage_title(first),
            count(first["parameters"]),
            count(first["macs"]),
            f"{largest / first['parameters']:.3g}x",
            *accuracies,
            *([over_control(group, control)] if several else []),
            clock(sum(new)) if new else "reused",
            style="bold" if group is result or group == result else None,
        )
    return table


def spread(values: Sequence[float | str | None], shown: Callable[[float], str]) -> str:
    """Format the mean, with the deviation for several values; a dash without any.

    Args:
        values: numbers, or strings for numbers that JSON lacks.
        shown: formats a number; the deviation drops its sign and per cent.
    """
    numbers = [float(value) for value in values if value is not None]
    if not numbers or any(map(math.isnan, numbers)):
        return "-"
    finite = all(map(math.isfinite, numbers))
    deviation = f" ± {shown(stdev(numbers)).strip('+%')}" if finite and len(numbers) > 1 else ""
    return shown(fmean(numbers)) + deviation


def control_note(summary: Entry) -> str | None:
    """Note on the Holm-adjusted p of the differences in `closing_table`; None for few."""
    control = group_of(summary, "control")
    if not control or len(seeds(summary)) < 2:
        return None
    rivals = [group for group in groups(summary) if group[0]["role"] not in UNTAUGHT]
    gains = [(stage_title(group[0]), stages_gain(group, control, "test")) for group in rivals]
    return control_p_words(gains)


UNTAUGHT = ("teacher", "assistant", "control", "independent")
"""Roles that are not compared with the control."""


def over_control(group: list[Entry], control: list[Entry]) -> str:
    """The paired difference of test accuracies in points; a dash without a control."""
    if not control or group[0]["role"] in UNTAUGHT:
        return "-"
    return gain_cell(stages_gain(group, control, "test"))
