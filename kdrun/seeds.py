"""Several seeds of one setting: mean, deviation, and the paired difference to the control."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from kdrun.gains import PairedGain, paired_gain, told
from kdrun.tables import add_columns, add_settings, percent, plain_table

SEED = "train.seed"


def over_seeds(jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Finished jobs that differ in the seed alone, as one row; best mean test accuracy first.

    Args:
        jobs: with `settings` (key -> value), `test` and `control_test` (fractions).

    Returns:
        Rows of `settings` without the seed, `seeds`, `test` and its `deviation`, `gain` over the
        control of the same seed and its standard `error`; None where one cannot be computed.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = defaultdict(list)
    for job in jobs:
        if job["test"] is not None:
            setting = {k: v for k, v in job["settings"].items() if k != SEED}
            groups[tuple(sorted(setting.items()))].append(job)
    rows = [_row(dict(setting), members) for setting, members in groups.items()]
    return sorted(rows, key=lambda row: -row["test"])


def _row(settings: dict[str, str], jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tests = [job["test"] for job in jobs]
    controls = [job["control_test"] for job in jobs]
    gain = None if None in controls else paired_gain(tests, controls)
    return {
        "settings": settings,
        "seeds": len(jobs),
        "test": mean(tests),
        "deviation": stdev(tests) if len(jobs) > 1 else None,
        "gain": gain and gain.mean,
        "error": gain and gain.error,
    }


def seeds_table(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> Table:
    """A row a setting; the gain is the mean of paired differences, with its standard error."""
    table = plain_table("mean over seeds")
    names = [name for name in varied if name != SEED]
    settings = add_settings(table, names)
    add_columns(table, "seeds", "test", "deviation", "over control")
    for row in rows:
        table.add_row(
            *settings(row["settings"]),
            str(row["seeds"]),
            percent(row["test"]),
            percent(row["deviation"]),
            _points(row),
        )
    return table


def _points(row: Mapping[str, Any]) -> str:
    gain = row["gain"]
    return "-" if gain is None else told(PairedGain(gain, row["error"], row["seeds"]))
