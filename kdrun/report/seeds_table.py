"""Table over seeds: mean, deviation and paired difference to the control."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from kdrun.loggers.tables import add_columns, add_settings, percent, plain_table
from kdrun.report.gain_words import gain_cell
from kdrun.report.gains import read_gain
from kdrun.report.paired_gain import paired_gain
from kdrun.report.result_table import OVER_CONTROL
from kdrun.store.summary import chosen_accuracy, chosen_by, mean_of, rank

SEED = "train.seed"


def over_seeds(jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Merge finished jobs that differ only in the seed into one row each, best first.

    Args:
        jobs: with `job` (its folder), `settings` (key -> value), `train`, `validation`, `test` and
            `control_test` (fractions), `validation_loss`, and their own `gain`.

    Returns:
        Rows of `settings` without the seed, the `jobs`, `seeds`, mean `train`, `validation`,
        `validation_loss` and `test` with its `deviation`, and the `gain` over the control of the
        same seed as in the `gains` of a run, or None if a control is missing; `chosen_apart`,
        whether a job has different validation images. Best mean validation accuracy first.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = defaultdict(list)
    for job in jobs:
        if job["test"] is not None:
            setting = {k: v for k, v in job["settings"].items() if k != SEED}
            groups[tuple(sorted(setting.items()))].append(job)
    rows = [_row(dict(setting), members) for setting, members in groups.items()]
    return sorted(rows, key=rank_of)


def rank_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key of jobs or rows over seeds: best first, as in `rank`."""
    return rank(row["validation"], row["train"], row["validation_loss"])


def _row(settings: dict[str, str], jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tests = [job["test"] for job in jobs]
    controls = [job["control_test"] for job in jobs]
    gain = jobs[0]["gain"]
    if len(jobs) > 1:
        gain = None if None in controls else asdict(paired_gain(tests, controls))
    return {
        "settings": settings,
        "jobs": [job["job"] for job in jobs],
        "seeds": len(jobs),
        "train": mean_of(jobs, "train"),
        "validation": mean_of(jobs, "validation"),
        "validation_loss": mean_of(jobs, "validation_loss"),
        "test": mean(tests),
        "deviation": stdev(tests) if len(jobs) > 1 else None,
        "gain": gain,
        "chosen_apart": any(job.get("chosen_apart", False) for job in jobs),
    }


def seeds_table(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> Table:
    """One row per setting; the gain is the mean paired difference, with its 95 % interval."""
    chosen = chosen_by(rows)
    table = plain_table(f"mean over seeds by {chosen} accuracy")
    names = [name for name in varied if name != SEED]
    settings = add_settings(table, names)
    column = "train" if chosen == "training" else "val best"
    add_columns(table, "seeds", column, "test\n± deviation", OVER_CONTROL)
    for row in rows:
        table.add_row(
            *settings(row["settings"]),
            str(row["seeds"]),
            percent(chosen_accuracy(row, chosen)),
            percent(row["test"]) + _deviation(row),
            gain_words(row["gain"]),
        )
    return table


def _deviation(row: Mapping[str, Any]) -> str:
    return "" if row["deviation"] is None else f" ± {100 * row['deviation']:.2f}"


def gain_words(gain: Mapping[str, Any] | None) -> str:
    """Format the `gain` of a job or row for a table cell."""
    return "-" if gain is None else gain_cell(read_gain(gain))
