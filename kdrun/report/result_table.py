"""Closing tables and sentences of a run or a sweep, from summaries."""

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
"""Head of the paired difference to the control over several seeds."""


def closing_table(summary: dict[str, Any]) -> Table:
    """A row a stage: size, and accuracy on validation (last, best) and test (of the best).

    Of several seeds the mean and the deviation, and the paired difference to the control with its
    95 % interval.
    """
    several = len(seeds(summary)) > 1
    told = f"seed {summary['seed']}"
    if several:
        told = f"seeds {', '.join(map(str, seeds(summary)))}, mean ± deviation"
    spare = ("val last", "MACs", "time", "ratio", "val best")
    table = plain_table(f"{summary['dataset']}, {told}", spare)
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
    """The mean, with the deviation where there are several; a dash where there is none.

    Args:
        values: also as words, where JSON has no number for them.
        shown: gives a number's text, with a sign or a per cent which a deviation goes without.
    """
    numbers = [float(value) for value in values if value is not None]
    if not numbers or any(map(math.isnan, numbers)):
        return "-"
    finite = all(map(math.isfinite, numbers))
    deviation = f" ± {shown(stdev(numbers)).strip('+%')}" if finite and len(numbers) > 1 else ""
    return shown(fmean(numbers)) + deviation


def control_note(summary: Entry) -> str | None:
    """Holm's p of the differences in `closing_table`, where there are many."""
    control = group_of(summary, "control")
    if not control or len(seeds(summary)) < 2:
        return None
    rivals = [group for group in groups(summary) if group[0]["role"] not in UNTAUGHT]
    gains = [(stage_title(group[0]), stages_gain(group, control, "test")) for group in rivals]
    return control_p_words(gains)


UNTAUGHT = ("teacher", "assistant", "control", "independent")
"""Roles that the control is no rival of."""


def over_control(group: list[Entry], control: list[Entry]) -> str:
    """The paired difference of test accuracies in points; a dash for what has no such control."""
    if not control or group[0]["role"] in UNTAUGHT:
        return "-"
    return gain_cell(stages_gain(group, control, "test"))
