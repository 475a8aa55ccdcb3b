"""A sweep: each job's failure stays its own, and a table of all closes it."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from kdrun.config.parse import parse
from kdrun.errors import KdrunError, Stopped
from kdrun.files import read_json, write_json, write_yaml
from kdrun.seeds import SEED, over_seeds, seeds_table
from kdrun.tables import add_columns, console, percent, plain_table, stage_of

WORST = 0.0
"""What a failed job tells a sweeper that maximises: finite, so that the search goes on."""


def run_job(composed: DictConfig, folder: Path, overrides: Sequence[str], number: int) -> float:
    """One job of a sweep; returns its validation accuracy, or `WORST` where it failed."""
    print(f"\njob {number}: {' '.join(overrides)}", flush=True)
    write_yaml(folder / "overrides.yaml", list(overrides))
    try:
        from kdrun.runner import objective, run  # noqa: PLC0415 - imports torch

        return objective(run(parse(composed), folder, overrides))
    except Stopped as error:
        # Hydra would take an exception as this job's failure and start the next one.
        print(f"kdrun: {error}", file=sys.stderr)
        sys.exit(Stopped.code)
    except KdrunError as error:
        return failed(folder, error.code, str(error))
    except Exception as error:
        traceback.print_exc()
        return failed(folder, KdrunError.code, f"{type(error).__name__}: {error}")


def failed(folder: Path, code: int, message: str) -> float:
    """Record why a job failed."""
    print(f"kdrun: {message}", file=sys.stderr)
    reason = {"code": code, "message": message}
    write_json(folder / "status.json", {"format": 1, "status": "failed", "error": reason})
    return WORST


def close_sweep(sweep_dir: str) -> None:
    """Print the table of the jobs, write `sweep.json`; exit with the worst job's code."""
    folder = Path(sweep_dir)
    jobs = read_jobs(folder)
    varied = varied_settings(jobs)
    console().print(sweep_table(jobs))
    means = over_seeds(jobs) if SEED in varied else []
    if means:
        console().print(seeds_table(means, varied))
    write_json(folder / "sweep.json", {"format": 1, "jobs": jobs, "over_seeds": means})
    print(f"all of it is in {folder}")
    code = max((job["code"] for job in jobs), default=0)
    if code:
        sys.exit(code)


def read_jobs(folder: Path) -> list[dict[str, Any]]:
    """What each job's folder says, best validation accuracy first, failures last."""
    jobs = [read_job(path.parent) for path in folder.glob("*/overrides.yaml")]
    return sorted(jobs, key=lambda job: (-(job["validation"] or WORST), job["job"]))


def read_job(folder: Path) -> dict[str, Any]:
    """Overrides, accuracies (fractions) or the error of one job."""
    status = read_json(folder / "status.json")
    error = status.get("error", {"code": 0, "message": ""})
    overrides = map(str, OmegaConf.load(folder / "overrides.yaml"))
    settings = {key: value for key, _, value in (line.partition("=") for line in overrides)}
    job: dict[str, Any] = {"job": folder.name, "settings": settings}
    job |= {"status": status["status"], "code": error["code"], "error": error["message"]}
    job |= {"validation": None, "test": None, "control_test": None}
    if status["status"] == "done":
        summary = read_json(folder / "summary.json")
        student, control = stage_of(summary, "student"), stage_of(summary, "control")
        assert student is not None
        job["validation"] = student["accuracy"]["best_validation"]
        job["test"] = student["accuracy"]["test_at_best_validation"]
        job["control_test"] = control and control["accuracy"]["test_at_best_validation"]
    return job


def varied_settings(jobs: Sequence[dict[str, Any]]) -> list[str]:
    """The settings that differ between jobs."""
    names = dict.fromkeys(name for job in jobs for name in job["settings"])
    return [name for name in names if len({job["settings"].get(name) for job in jobs}) > 1]


def sweep_table(jobs: Sequence[dict[str, Any]]) -> Table:
    """A row a job, with a column for each setting that differs between jobs."""
    varied = varied_settings(jobs)
    table = plain_table(f"{len(jobs)} jobs by validation accuracy")
    add_columns(table, "job", *varied, "val best", "test", "over control")
    table.add_column("status")
    for job in jobs:
        gain = (
            f"{100 * (job['test'] - job['control_test']):+.2f}"
            if job["test"] is not None and job["control_test"] is not None
            else "-"
        )
        state = job["status"] if job["status"] == "done" else f"{job['status']}: {job['error']}"
        cells = [job["job"], *(job["settings"].get(name, "") for name in varied)]
        table.add_row(*cells, percent(job["validation"]), percent(job["test"]), gain, state)
    return table
