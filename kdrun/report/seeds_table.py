"""Table over seeds: mean, deviation, paired difference to the control."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from kdrun.loggers.tables import add_columns, add_settings, percent, plain_table
from kdrun.report.paired_gain import PairedGain, paired_gain, told
from kdrun.report.result_table import OVER_CONTROL
from kdrun.store.summary import chosen_accuracy, chosen_by, mean_of, rank

SEED = "train.seed"


def over_seeds(jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Finished jobs that differ in the seed alone, as one row, as one chooses between them.

    Args:
        jobs: with `settings` (key -> value), `train`, `validation`, `test` and `control_test`
            (fractions).

    Returns:
        Rows of `settings` without the seed, `seeds`, mean `train`, `validation` and `test` with its
        `deviation`, `gain` over the control of the same seed and its standard `error`; None where
        one cannot be computed. Best mean validation accuracy first.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = defaultdict(list)
    for job in jobs:
        if job["test"] is not None:
            setting = {k: v for k, v in job["settings"].items() if k != SEED}
            groups[tuple(sorted(setting.items()))].append(job)
    rows = [_row(dict(setting), members) for setting, members in groups.items()]
    return sorted(rows, key=lambda row: rank(row["validation"], row["train"]))


def _row(settings: dict[str, str], jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tests = [job["test"] for job in jobs]
    controls = [job["control_test"] for job in jobs]
    gain = None if None in controls else paired_gain(tests, controls)
    return {
        "settings": settings,
        "seeds": len(jobs),
        "train": mean_of(jobs, "train"),
        "validation": mean_of(jobs, "validation"),
        "test": mean(tests),
        "deviation": stdev(tests) if len(jobs) > 1 else None,
        "gain": gain and gain.mean,
        "error": gain and gain.error,
    }


def seeds_table(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> Table:
    """A row a setting; the gain is the mean of paired differences, with its standard error."""
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
            _points(row),
        )
    return table


def _deviation(row: Mapping[str, Any]) -> str:
    return "" if row["deviation"] is None else f" ± {100 * row['deviation']:.2f}"


def _points(row: Mapping[str, Any]) -> str:
    gain = row["gain"]
    return "-" if gain is None else told(PairedGain(gain, row["error"], row["seeds"]))
