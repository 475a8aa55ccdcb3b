"""Sweeps: their jobs, their closing table, and resuming them."""

import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from kdrun.config.parse import parse
from kdrun.errors import ConfigError, DamagedError, KdrunError, Stopped
from kdrun.report.sweep_table import job_state, show_sweep
from kdrun.runs.lockstep.siblings import LaterJobs, Siblings, no_siblings
from kdrun.runs.resume_overrides import checked_overrides
from kdrun.runs.sweep.child_process import Child, run_in_child
from kdrun.store.files import read_yaml, write_sealed, write_yaml
from kdrun.store.run_folder import (
    CONFIG,
    OVERRIDES,
    PATIENCE,
    STATUS,
    Status,
    in_use,
    trained_stages,
)
from kdrun.store.sweep_folder import begun_jobs, listed_jobs

WORST = 0.0
"""What a failed job tells a sweeper that maximises: finite, so that the search goes on."""


def run_job(
    composed: DictConfig,
    folder: Path,
    overrides: Sequence[str],
    number: int,
    config_dir: Path | None,
) -> float:
    """One job of a sweep; returns its validation accuracy, or `WORST` where it failed.

    Args:
        config_dir: the user's own YAML, for the jobs that it may take along.

    Raises:
        SystemExit: it was told to stop.
    """
    print(f"\njob {number}: {' '.join(overrides)}", flush=True)
    try:
        do_job(lambda: composed, folder, overrides, LaterJobs(folder, (), config_dir))
    except Stopped as error:
        # Hydra would take an exception as this job's failure and start the next one.
        print(f"kdrun: {error}", file=sys.stderr)
        sys.exit(error.code)
    return score(folder)


def do_job(
    compose: Callable[[], DictConfig],
    folder: Path,
    overrides: Sequence[str],
    later: Siblings,
) -> None:
    """Compose and check the config and run it in a process of its own; a failure is recorded.

    Raises:
        Stopped: this process was sent a signal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / OVERRIDES, list(overrides))
    try:
        config = parse(compose())
    except ConfigError as error:
        record_failure(folder, error.code, str(error))
        return
    in_own_process(folder, new_run, (config, folder, list(overrides), later))


def in_own_process(folder: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Do a job's work in a child; see to it that its status says how it ended."""
    status = folder / STATUS
    before = status.read_bytes() if status.exists() else b""
    child = run_in_child(guarded_job, (folder, work, arguments))
    if child.signal is not None or child.code == Stopped.code:
        leave_if_twice(child)
        raise Stopped(f"stopped in job {folder.name}; 'kdrun resume {folder.parent}' goes on")
    told = job_state(folder)["status"] == "failed" and status.read_bytes() != before
    if child.code != 0 and not told:
        code = KdrunError.code if child.code > 0 else 128 - child.code
        record_failure(folder, code, ending(child, folder))


def leave_if_twice(child: Child) -> None:
    """Leave as the job did where a second signal ended it."""
    if child.signal is not None and child.code == 128 + child.signal:
        sys.exit(child.code)


def ending(child: Child, folder: Path) -> str:
    """How a process ended that could not say it itself."""
    if child.code > 0:
        return f"its process left with code {child.code}"
    name = signal.Signals(-child.code).name
    told = f"its process was killed by {name}"
    if name != "SIGKILL":
        return told
    return f"{told}, perhaps because memory ran out{fewer_at_once(folder)}"


def fewer_at_once(folder: Path) -> str:
    """What would take less memory, where students were trained in lockstep."""
    try:
        lockstep = read_yaml(folder / CONFIG)["train"]["lockstep"]
    except (DamagedError, KeyError, TypeError):
        return ""
    return f" (train.lockstep={lockstep}: fewer at once need less)" if lockstep > 1 else ""


def guarded_job(folder: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """What the child does: the work, with its failure recorded and told by the exit code."""
    try:
        work(*arguments)
    except Stopped as error:
        sys.exit(error.code)
    except KdrunError as error:
        record_failure(folder, error.code, str(error))
        sys.exit(error.code)
    except Exception as error:
        traceback.print_exc()
        record_failure(folder, KdrunError.code, f"{type(error).__name__}: {error}")
        sys.exit(KdrunError.code)


def new_run(config: Any, folder: Path, overrides: list[str], later: Siblings) -> None:
    """Run the config in the folder."""
    from kdrun.runs.runner import run  # noqa: PLC0415 - imports torch

    run(config, folder, overrides, later)


def old_run(folder: Path, overrides: list[str], later: Siblings) -> None:
    """Go on with the run in the folder."""
    from kdrun.runs.resume import resume_run  # noqa: PLC0415 - imports torch

    resume_run(folder, overrides, later)


def record_failure(folder: Path, code: int, message: str) -> None:
    """Write and print why a job failed."""
    print(f"kdrun: {message}", file=sys.stderr)
    status = Status(folder, trained_stages(folder))  # which a resumed run still has to know
    status.write("failed", {"code": code, "message": message})


def score(folder: Path) -> float:
    """What a sweeper maximises: the student's validation accuracy, or else its training's."""
    job = job_state(folder)
    if job["status"] != "done":
        return WORST
    accuracy = job["train"] if job["validation"] is None else job["validation"]
    return float(accuracy)


def close_sweep(folder: Path) -> None:
    """Print the table of the jobs, write `sweep.json`; exit with the worst job's code."""
    content = show_sweep(folder)
    write_sealed(folder / "sweep.json", content)
    print(f"all of it is in {folder}; 'kdrun report {folder}' compares it")
    code = max((job["code"] for job in content["jobs"]), default=0)
    if code:
        sys.exit(code)


def resume_sweep(folder: Path, overrides: Sequence[str], config_dir: Path | None) -> None:
    """Keep the finished jobs; go on with the interrupted, retry the failed, run the missing.

    Args:
        folder: the sweep's.
        overrides: for every job, as `kdrun resume` takes them for a run.
        config_dir: a folder of the user's own YAML, as the sweep was given.
    """
    from kdrun.config.compose import compose_job  # noqa: PLC0415 - imports Hydra

    jobs = listed_jobs(folder)
    if jobs is None:
        print("the sweeper chose its jobs as it went: those it began are finished, none is added")
        jobs = begun_jobs(folder)
    longer = jobs_to_extend(folder, jobs, overrides)
    for number, settings in jobs.items():
        job = folder / number
        state = job_state(job)["status"]
        if state == "done" and number not in longer:
            continue
        print(f"\njob {number} ({state}): {' '.join(settings)}", flush=True)
        # What goes on from a checkpoint is another stage than its settings alone tell.
        later = no_siblings if longer else LaterJobs(job, tuple(overrides), config_dir)
        # A job whose sweep was killed is told to stop, and needs a moment to save.
        if (job / STATUS).exists() and in_use(job, PATIENCE):
            print("another process is working on it", flush=True)
        elif (job / CONFIG).exists():
            in_own_process(job, old_run, (job, list(overrides), later))
        else:
            compose = partial(compose_job, [*settings, *overrides], config_dir)
            do_job(compose, job, settings, later)
    close_sweep(folder)


def jobs_to_extend(folder: Path, jobs: Iterable[str], overrides: Sequence[str]) -> set[str]:
    """The begun jobs that the overrides give more epochs; all are checked before one is touched.

    Raises:
        ConfigError: an override cannot be given to a run, or not to one of these.
    """
    changes = checked_overrides(overrides)
    if not changes:
        return set()
    from kdrun.runs.resume import raised_in  # noqa: PLC0415 - imports torch

    longer = set()
    for number in jobs:
        try:
            if (folder / number / CONFIG).exists() and raised_in(folder / number, changes):
                longer.add(number)
        except DamagedError:
            continue  # which going on with it says
    return longer
