"""Jobs of a sweep, read from their folders: settings, status, accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from kdrun.config.listed_values import Values, difference, listed_values
from kdrun.errors import ConfigError, DamagedError
from kdrun.report.checked_figures import check_figures
from kdrun.report.gains import gain_between
from kdrun.report.other_images import training_hash
from kdrun.report.run_settings import IRRELEVANT, setting
from kdrun.report.seeds_table import rank_of
from kdrun.report.tested_images import images_hash
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
"""Status of a folder that holds something other than the sweep's job."""


# Exit codes by status, for jobs without a recorded one. A job that is missing when a sweep ends
# could not be started, and would not be after the next start: not resumable.
_CODES = {"missing": 6, "interrupted": 75, "stopped": 75, "running": 75, "done": 0, FOREIGN: 6}


_BOOLEANS = ("True", "False")  # as Hydra writes them, unlike a config


_CHANGEABLE = IRRELEVANT - {"seeds"} | {"dataset.root", "dataset.download"}


def read_jobs(folder: Path, config_dir: Path | None = None) -> list[dict[str, Any]]:
    """Read all jobs of a sweep, finished ones first, best first.

    Args:
        folder: the sweep's.
        config_dir: a folder of the user's own YAML.
    """
    jobs = sweep_jobs(folder)
    values, shared = listed_values(jobs, config_dir), noted_values(folder)
    # Without a list, overrides come from the job's own folder, which may be of another sweep.
    read = [
        {"job": name, "number": int(name) if name.isdecimal() else number}
        | read_job(folder / name, job, shared | values[name] | shared)
        for number, (name, job) in enumerate(jobs.items())
    ]
    return sorted(read, key=_order)


def foreign_jobs(folder: Path) -> dict[Path, str]:
    """Reasons by folder why runs in a sweep's folder are not its jobs."""
    if not (folder / SWEEP).exists():
        return {}
    if listed_jobs(folder) is None and not noted_values(folder):
        return {}
    jobs = read_jobs(folder)
    return {folder / job["job"]: job["error"] for job in jobs if job["status"] == FOREIGN}


def _order(job: Mapping[str, Any]) -> tuple[Any, ...]:
    return job["status"] != "done", *rank_of(job), job["number"]


def read_job(folder: Path, overrides: Sequence[str], listed: Values) -> dict[str, Any]:
    """Read the settings and the accuracies (fractions) or error of one job.

    The settings come from the run's own config, which determined the training.

    Args:
        folder: the job's.
        overrides: in the sweep's list for the job.
        listed: their values, and the values that all jobs share.
    """
    given = {key: value for key, _, value in (one.partition("=") for one in overrides)}
    given = {key: value.lower() if value in _BOOLEANS else value for key, value in given.items()}
    job = {"settings": given} | job_state(folder)
    if job["status"] == FOREIGN:
        return job
    try:
        config = run_config(folder)
    except (DamagedError, ConfigError) as error:
        return job | _without_result("interrupted", f"damaged: {error}")
    if config is None:
        return job
    job["settings"] = {key: setting(config, key, value) for key, value in given.items()}
    if found := difference(config, listed, _CHANGEABLE):
        return job | _without_result(FOREIGN, f"holds the run of another sweep or job: {found}")
    return job


def run_config(folder: Path) -> DictConfig | None:
    """Read the config of a job's run, checked if the run is finished; None without a run.

    Raises:
        DamagedError: the file is damaged.
        ConfigError: it holds values that no saved config has.
    """
    if not (folder / CONFIG).exists():
        return None
    if (folder / SUMMARY).exists():
        files = read_shaped(folder / SUMMARY, RUN_SUMMARY).get("files")
        entry = files.get(CONFIG) if isinstance(files, dict) else None
        check_files(folder, {CONFIG: entry})
    return saved_config(folder / CONFIG)


_RESULT = (
    "train",
    "validation",
    "validation_loss",
    "test",
    "control_test",
    "gain",
    "dataset",
    "images",
    "test_hash",
    "pool",
    "train_hash",
    "validation_hash",
)
_NOTHING: dict[str, Any] = dict.fromkeys(_RESULT)


def _without_result(status: str, error: str) -> dict[str, Any]:
    return {"status": status, "error": error, "code": _CODES[status], **_NOTHING}


def job_state(folder: Path) -> dict[str, Any]:
    """Status of a job: missing, running, interrupted, stopped, failed, or done with accuracies.

    A killed run still has the status running or, if reopened for more epochs, done. Links are not
    followed.
    """
    if folder.is_symlink():  # first, because `in_use` creates a file in the folder
        return _without_result(FOREIGN, f"{folder} is a link; a job needs its own folder")
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
    """Data set, number of test images and image hashes of a finished run."""
    correct, place = read_correct(folder), student_place(summary)
    plan = read_shaped(folder / PLAN, PLAN_SHAPE)["stages"] if (folder / PLAN).exists() else []
    return {
        "dataset": summary["dataset"],
        "images": summary["test_images"],
        "test_hash": images_hash(correct, place, "test"),
        "pool": summary.get("pool"),
        "train_hash": training_hash(plan, summary["stages"][place].get("seed")),
        "validation_hash": images_hash(correct, place, "validation"),
    }


def accuracies(summary: dict[str, Any]) -> dict[str, Any]:
    """Accuracies of a finished run's student or last generation, and of its control."""
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
