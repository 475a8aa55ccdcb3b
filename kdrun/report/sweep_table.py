"""Results of a sweep's jobs, as data and as tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from kdrun.escaping import printable, show
from kdrun.loggers.tables import add_columns, add_settings, console, percent, plain_table
from kdrun.report.gains import read_gain
from kdrun.report.other_images import TRAINING, common_first, mark_jobs
from kdrun.report.result_table import OVER_CONTROL
from kdrun.report.seeds_table import SEED, gain_words, over_seeds, seeds_table
from kdrun.report.shown_settings import shown_settings
from kdrun.report.sweep_jobs import read_jobs
from kdrun.report.tested_images import IMAGES, separate_jobs
from kdrun.report.ties import Ties, control_p_words, scores_of, ties_with_best, ties_words
from kdrun.store.correct_images import read_correct
from kdrun.store.formats import RUN_SUMMARY
from kdrun.store.run_folder import SUMMARY
from kdrun.store.shapes import read_shaped
from kdrun.store.summary import chosen_accuracy, chosen_by
from kdrun.store.sweep_folder import unlisted_folders


def show_sweep(folder: Path, config_dir: Path | None = None) -> dict[str, Any]:
    """Print the tables of the sweep's jobs, and return the content of `sweep.json`.

    Args:
        folder: the sweep's.
        config_dir: a folder of the user's own YAML.
    """
    jobs = read_jobs(folder, config_dir)
    apart = separate_jobs(jobs) + mark_jobs(jobs)
    jobs = common_first(jobs)
    varied = varied_settings(jobs)
    console().print(sweep_table(shown_settings(jobs)))
    rows = common_first(over_seeds(jobs))
    means = rows if SEED in varied else []
    if means:
        console().print(seeds_table(shown_settings(means), varied))
    for name in unlisted_folders(folder, {job["job"] for job in jobs}):
        show(f"{folder / name} is left out: the sweep lists no job {name}")
    names = [setting_name(row, varied) for row in shown_settings(rows)]
    gains = [None if row["gain"] is None else read_gain(row["gain"]) for row in rows]
    ties = sweep_ties(folder, rows)
    notes = [control_p_words(list(zip(names, gains, strict=True)))]
    notes += [ties_words(ties, names)] if ties else []
    notes += apart
    for note in filter(None, notes):
        console().print(printable(note))
    return {
        "format": 2,
        "jobs": jobs,
        "over_seeds": means,
        "tied_with_best": [rows[place]["jobs"] for place in ties.tied] if ties else [],
    }


def sweep_ties(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Ties | None:
    """Ties with the best setting on validation; None if nothing can be compared.

    Args:
        folder: the sweep's.
        rows: of `over_seeds`; rows with different test or training images than the first come last
            and are not compared with it.
    """
    images = [[row["settings"].get(name) for name in (IMAGES, TRAINING)] for row in rows]
    rows = [row for row, own in zip(rows, images, strict=True) if own == images[0]]
    if len(rows) < 2 or rows[0]["validation"] is None:
        return None
    scores = []
    for row in rows:
        found: dict[Any, Any] = {}
        for job in row["jobs"]:
            summary = read_shaped(folder / job / SUMMARY, RUN_SUMMARY)
            found |= scores_of(summary, read_correct(folder / job))
        scores.append(found)
    return ties_with_best(scores)


def setting_name(row: Mapping[str, Any], varied: Sequence[str]) -> str:
    """Name of a row: its varied settings in one line, or its jobs without any."""
    pairs = [f"{n}={row['settings'][n]}" for n in varied if n in row["settings"]]
    return " ".join(pairs) or f"job {', '.join(row['jobs'])}"


def varied_settings(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """The settings that differ between jobs."""
    names = dict.fromkeys(name for job in jobs for name in job["settings"])
    return [name for name in names if len({job["settings"].get(name) for job in jobs}) > 1]


def sweep_table(jobs: Sequence[dict[str, Any]]) -> Table:
    """One row per job, with a column for each setting that differs between jobs."""
    varied = varied_settings(jobs)
    chosen = chosen_by(jobs)
    table = plain_table(f"{len(jobs)} jobs by {chosen} accuracy")
    add_columns(table, "job")
    settings = add_settings(table, varied)
    column = "train" if chosen == "training" else "val best"
    add_columns(table, column, "test", OVER_CONTROL)
    table.add_column("status")
    for job in jobs:
        state = f"{job['status']}: {job['error']}" if job["error"] else job["status"]
        cells = [str(job["number"]), *settings(job["settings"])]
        shown = percent(chosen_accuracy(job, chosen))
        table.add_row(*cells, shown, percent(job["test"]), gain_words(job["gain"]), state)
    return table
