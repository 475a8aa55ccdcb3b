"""Results of a sweep's jobs, as data and as tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from kdrun.errors import DamagedError
from kdrun.loggers.tables import add_columns, add_settings, console, percent, plain_table
from kdrun.report.seeds_table import SEED, over_seeds, seeds_table
from kdrun.store.files import read_json, read_sealed, read_yaml
from kdrun.store.run_folder import OVERRIDES, STATUS, SUMMARY, in_use
from kdrun.store.summary import chosen_accuracy, chosen_by, group_of, mean_of, rank, result_of

# Exit codes of jobs that did not come to an end of their own.
_CODES = {"missing": 75, "interrupted": 75, "stopped": 75, "running": 75, "done": 0}


def show_sweep(folder: Path) -> dict[str, Any]:
    """Print the tables of the sweep's jobs; returns the content of `sweep.json`."""
    jobs = read_jobs(folder)
    varied = varied_settings(jobs)
    console().print(sweep_table(jobs))
    means = over_seeds(jobs) if SEED in varied else []
    if means:
        console().print(seeds_table(means, varied))
    return {"format": 1, "jobs": jobs, "over_seeds": means}


def read_jobs(folder: Path) -> list[dict[str, Any]]:
    """What each job's folder says; the finished first, as one chooses between them."""
    jobs = [read_job(path.parent) for path in folder.glob(f"*/{OVERRIDES}")]
    return sorted(jobs, key=_order)


def _order(job: Mapping[str, Any]) -> tuple[Any, ...]:
    number = job["job"].zfill(9)
    return job["status"] != "done", *rank(job["validation"], job["train"]), number


def read_job(folder: Path) -> dict[str, Any]:
    """Overrides, accuracies (fractions) or the error of one job."""
    overrides = map(str, read_yaml(folder / OVERRIDES))
    settings = {key: value for key, _, value in (line.partition("=") for line in overrides)}
    return {"job": folder.name, "settings": settings} | job_state(folder)


def job_state(folder: Path) -> dict[str, Any]:
    """How far a job is: missing, running, interrupted, stopped, failed, or done with accuracies.

    A run that its process did not live to close still says that it is running.
    """
    state: dict[str, Any] = {"status": "missing", "error": "", "train": None}
    state |= {"validation": None, "test": None, "control_test": None}
    try:
        if (folder / STATUS).exists():
            status = read_json(folder / STATUS)
            error = status.get("error", {"message": ""})
            state |= {"status": status["status"], "error": error["message"]}
            state["code"] = error.get("code", 0)
        if state["status"] == "running" and not in_use(folder):
            state["status"] = "interrupted"
        if state["status"] == "done":
            state |= accuracies(read_sealed(folder / SUMMARY))
    except (DamagedError, KeyError, TypeError, AttributeError) as error:
        state |= {"status": "interrupted", "error": f"damaged: {error}"}
    state["code"] = _CODES.get(state["status"], state.get("code", 70))
    return state


def accuracies(summary: dict[str, Any]) -> dict[str, Any]:
    """The accuracies of a finished run's student or last generation, and of its control."""
    result, control = (
        [stage["accuracy"] for stage in group]
        for group in (result_of(summary), group_of(summary, "control"))
    )
    return {
        "train": mean_of(result, "train"),
        "validation": mean_of(result, "best_validation"),
        "test": mean_of(result, "test_at_best_validation"),
        "control_test": mean_of(control, "test_at_best_validation"),
    }


def varied_settings(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """The settings that differ between jobs."""
    names = dict.fromkeys(name for job in jobs for name in job["settings"])
    return [name for name in names if len({job["settings"].get(name) for job in jobs}) > 1]


def sweep_table(jobs: Sequence[dict[str, Any]]) -> Table:
    """A row a job, with a column for each setting that differs between jobs."""
    varied = varied_settings(jobs)
    chosen = chosen_by(jobs)
    table = plain_table(f"{len(jobs)} jobs by {chosen} accuracy")
    add_columns(table, "job")
    settings = add_settings(table, varied)
    column = "train" if chosen == "training" else "val best"
    add_columns(table, column, "test", "over control")
    table.add_column("status")
    for job in jobs:
        gain = (
            f"{100 * (job['test'] - job['control_test']):+.2f}"
            if job["test"] is not None and job["control_test"] is not None
            else "-"
        )
        state = f"{job['status']}: {job['error']}" if job["error"] else job["status"]
        cells = [job["job"], *settings(job["settings"])]
        shown = percent(chosen_accuracy(job, chosen))
        table.add_row(*cells, shown, percent(job["test"]), gain, state)
    return table
