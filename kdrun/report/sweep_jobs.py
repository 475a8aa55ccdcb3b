"""Jobs of a sweep as their folders tell them: settings, status, accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from kdrun.config.listed_values import Values, difference, listed_values
from kdrun.errors import ConfigError, DamagedError
from kdrun.report.checked_figures import check_figures
from kdrun.report.gains import gain_between
from kdrun.report.other_images import training_hash, validation_hash
from kdrun.report.run_settings import UNTOLD, setting
from kdrun.report.seeds_table import rank_of
from kdrun.report.tested_images import test_hash
from kdrun.store.correct_images import read_correct
from kdrun.store.files import check_files
from kdrun.store.formats import PLAN as PLAN_SHAPE
from kdrun.store.formats import RUN_SUMMARY
from kdrun.store.run_folder import CONFIG, PLAN, STATUS, SUMMARY, in_use, read_status
from kdrun.store.saved_config import saved_config
from kdrun.store.shapes import read_shaped
from kdrun.store.summary import group_of, mean_of, result_of, student_place
from kdrun.store.sweep_folder import SWEEP, listed_jobs, noted_values, sweep_jobs

FOREIGN = "foreign"
"""The status of a folder that holds something else than the job that the sweep lists for it."""


# Exit codes of jobs that did not come to an end of their own.
_CODES = {"missing": 75, "interrupted": 75, "stopped": 75, "running": 75, "done": 0, FOREIGN: 6}


_BOOLEANS = ("True", "False")  # as Hydra writes them, unlike a config


_CHANGEABLE = UNTOLD - {"seeds"} | {"dataset.root", "dataset.download"}


def read_jobs(folder: Path, config_dir: Path | None = None) -> list[dict[str, Any]]:
    """What the folder of each job says; the finished first, as one chooses between them.

    Args:
        folder: the sweep's.
        config_dir: a folder of the user's own YAML.
    """
    jobs = sweep_jobs(folder)
    values, shared = listed_values(jobs, config_dir), noted_values(folder)
    # Without a list a job's overrides come from its own folder, which may be another sweep's.
    read = [
        read_job(folder / name, job, shared | values[name] | shared) for name, job in jobs.items()
    ]
    return sorted(read, key=_order)


def foreign_jobs(folder: Path) -> dict[Path, str]:
    """Why the runs in folders of a sweep that its notes describe are not its jobs."""
    if not (folder / SWEEP).exists():
        return {}
    if listed_jobs(folder) is None and not noted_values(folder):
        return {}
    jobs = read_jobs(folder)
    return {folder / job["job"]: job["error"] for job in jobs if job["status"] == FOREIGN}


def _order(job: Mapping[str, Any]) -> tuple[Any, ...]:
    number = job["job"].zfill(9)
    return job["status"] != "done", *rank_of(job), number


def read_job(folder: Path, overrides: Sequence[str], listed: Values) -> dict[str, Any]:
    """Settings, accuracies (fractions) or the error of one job.

    The settings are those of the run's own config, which says what was trained.

    Args:
        folder: the job's.
        overrides: that the sweep lists for it.
        listed: their values, and those that all jobs share.
    """
    told = {key: value for key, _, value in (one.partition("=") for one in overrides)}
    told = {key: value.lower() if value in _BOOLEANS else value for key, value in told.items()}
    job = {"job": folder.name, "settings": told} | job_state(folder)
    if job["status"] == FOREIGN:
        return job
    try:
        config = run_config(folder)
    except (DamagedError, ConfigError) as error:
        return job | _without_result("interrupted", f"damaged: {error}")
    if config is None:
        return job
    job["settings"] = {key: setting(config, key, value) for key, value in told.items()}
    if found := difference(config, listed, _CHANGEABLE):
        return job | _without_result(FOREIGN, f"holds the run of another sweep or job: {found}")
    return job


def run_config(folder: Path) -> DictConfig | None:
    """The config of a job's run, checked where the run is finished; None where there is no run.

    Raises:
        DamagedError: it is not as it was written.
        ConfigError: it holds what a saved config never does.
    """
    if not (folder / CONFIG).exists():
        return None
    if (folder / SUMMARY).exists():
        files = read_shaped(folder / SUMMARY, RUN_SUMMARY).get("files")
        entry = files.get(CONFIG) if isinstance(files, dict) else None
        check_files(folder, {CONFIG: entry})
    return saved_config(folder / CONFIG)


_RESULT = (
    *("train", "validation", "validation_loss", "test", "control_test", "gain"),
    *("dataset", "images", "test_hash", "pool", "train_hash", "validation_hash"),
)
_NOTHING: dict[str, Any] = dict.fromkeys(_RESULT)


def _without_result(status: str, error: str) -> dict[str, Any]:
    return {"status": status, "error": error, "code": _CODES[status], **_NOTHING}


def job_state(folder: Path) -> dict[str, Any]:
    """How far a job is: missing, running, interrupted, stopped, failed, or done with accuracies.

    A run that its process did not live to close still says that it is running, or, where it was
    opened again for more epochs, that it is done. Behind a link nothing is looked at.
    """
    if folder.is_symlink():  # first, as to look whether it is in use makes a file in it
        return _without_result(FOREIGN, f"{folder} is a link, and a job has its own folder")
    state: dict[str, Any] = {"status": "missing", "error": "", **_NOTHING}
    try:
        if (folder / STATUS).exists():
            status = read_status(folder)
            error = status.get("error", {"message": ""})
            state |= {"status": status["status"], "error": error["message"]}
            state["code"] = error.get("code", 0)
        left = state["status"] == "running" or not (folder / SUMMARY).exists()
        if state["status"] in ("running", "done") and left and not in_use(folder):
            state["status"] = "interrupted"
        if state["status"] == "done":
            summary = read_shaped(folder / SUMMARY, RUN_SUMMARY)
            check_figures(folder, summary)
            state |= accuracies(summary) | images_of(folder, summary)
    except DamagedError as error:
        state |= {"status": "interrupted", "error": f"damaged: {error}"}
    state["code"] = _CODES.get(state["status"], state.get("code", 70))
    return state


def images_of(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """The data set of a finished run, how many test images it has, and hashes of its images."""
    correct, place = read_correct(folder), student_place(summary)
    plan = read_shaped(folder / PLAN, PLAN_SHAPE)["stages"] if (folder / PLAN).exists() else []
    return {
        "dataset": summary["dataset"],
        "images": summary["test_images"],
        "test_hash": test_hash(correct, place),
        "pool": summary.get("pool"),
        "train_hash": training_hash(plan, summary["stages"][place].get("seed")),
        "validation_hash": validation_hash(correct, place),
    }


def accuracies(summary: dict[str, Any]) -> dict[str, Any]:
    """The accuracies of a finished run's student or last generation, and of its control."""
    groups = result_of(summary), group_of(summary, "control")
    result, control = ([stage["accuracy"] for stage in group] for group in groups)
    gain = gain_between(summary, *groups, "test") if all(groups) else None
    losses = [{"loss": accuracy.get("best_validation_loss")} for accuracy in result]
    return {
        "train": mean_of(result, "train"),
        "validation": mean_of(result, "best_validation"),
        "validation_loss": mean_of(losses, "loss"),
        "test": mean_of(result, "test_at_best_validation"),
        "control_test": mean_of(control, "test_at_best_validation"),
        "gain": gain and asdict(gain),
    }
