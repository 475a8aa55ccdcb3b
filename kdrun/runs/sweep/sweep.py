"""Jobs of a sweep, one process each, and the final table."""

import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig

from kdrun.config.compose import JobFailed
from kdrun.config.optuna_sweeper import reports_failures
from kdrun.config.parse import parse
from kdrun.config.sweep_overrides import resolved, written
from kdrun.errors import (
    ConfigError,
    DamagedError,
    KdrunError,
    OutputError,
    Stopped,
    first_line,
    reason,
)
from kdrun.escaping import show
from kdrun.report.sweep_jobs import job_state
from kdrun.report.sweep_table import show_sweep
from kdrun.runs.lockstep.siblings import LaterJobs, Siblings
from kdrun.runs.sweep.child_process import Child, run_in_child
from kdrun.store.files import read_yaml, write_sealed, write_yaml
from kdrun.store.folders import make_folder, refuse_links_to
from kdrun.store.run_folder import (
    CONFIG,
    OVERRIDES,
    STATUS,
    Status,
    refuse_existing,
    root_above,
    trained_stages,
)
from kdrun.store.sweep_folder import sweep_of

WORST = 0.0
"""Score of a failed job for a sweeper that takes nothing else: finite, so that it continues."""


def run_job(
    composed: DictConfig,
    folder: Path,
    overrides: Sequence[str],
    hydra: HydraConf,
    config_dir: Path | None,
) -> float:
    """Run one job of a sweep; return its validation accuracy, or `WORST` after a failure.

    Args:
        hydra: section `hydra` of the job's config.
        config_dir: folder with the user's own YAML, for later jobs in lockstep.

    Raises:
        SystemExit: a stop was requested.
        JobFailed: the job failed, and the sweeper tells failures from scores.
        OutputError: the folder already holds a run, or is a link.
    """
    show(f"\njob {hydra.job.num}: {' '.join(overrides)}", flush=True)
    refuse_links_to(folder, root_above(folder))  # before the status is touched
    refuse_existing(folder)
    try:
        settings = resolved(overrides, composed, hydra.runtime.choices)
        root = f"output_root={written(str(composed.output_root))}"
        do_job(lambda: composed, folder, settings, LaterJobs(folder, (root,), config_dir))
    except Stopped as error:
        # Hydra would treat an exception as this job's failure and start the next job.
        show(f"kdrun: {error}", file=sys.stderr)
        sys.exit(error.code)
    except (KdrunError, OSError) as error:
        # At once, and where the table reads: Hydra continues with the next job.
        code = error.code if isinstance(error, KdrunError) else OutputError.code
        record_failure(folder, code, str(error))
    state = job_state(folder)
    if state["status"] != "done" and reports_failures(hydra.sweeper):
        raise JobFailed(f"job {hydra.job.num}: {state['error']}")
    return score(state)


def do_job(
    compose: Callable[[], DictConfig],
    folder: Path,
    overrides: Sequence[str],
    later: Siblings,
) -> None:
    """Compose and check the config and run the job in a separate process; record a failure.

    Raises:
        Stopped: this process received a signal.
        OutputError: the folder cannot be written.
    """
    make_folder(folder, root_above(folder))
    write_yaml(folder / OVERRIDES, list(overrides))
    try:
        config = parse(compose())
    except ConfigError as error:
        record_failure(folder, error.code, str(error))
        return
    in_own_process(folder, new_run, (config, folder, list(overrides), later))


def in_own_process(folder: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Do a job's work in a child process, and make sure that its status records the outcome."""
    status = folder / STATUS
    before = status.read_bytes() if status.exists() else b""
    try:
        child = run_in_child(guarded_job, (folder, work, arguments))
    except OSError as error:  # too many processes, no memory for one more
        record_failure(folder, OutputError.code, f"its process cannot be started: {reason(error)}")
        return
    if child.signal is not None or child.code == Stopped.code:
        leave_if_twice(child)
        sweep = sweep_of(folder)
        job = folder.relative_to(sweep)
        raise Stopped(f"stopped in job {job}; 'kdrun resume {sweep}' continues")
    recorded = job_state(folder)["status"] == "failed" and status.read_bytes() != before
    if child.code != 0 and not recorded:
        code = KdrunError.code if child.code > 0 else 128 - child.code
        record_failure(folder, code, ending(child, folder))


def leave_if_twice(child: Child) -> None:
    """Exit like the job if a second signal ended the job."""
    if child.signal is not None and child.code == 128 + child.signal:
        sys.exit(child.code)


def ending(child: Child, folder: Path) -> str:
    """Return how a process ended that did not record its outcome."""
    if child.code > 0:
        return f"its process exited with code {child.code}"
    name = signal.Signals(-child.code).name
    cause = f"its process was killed by {name}"
    if name != "SIGKILL":
        return cause
    return f"{cause}, perhaps because memory ran out{fewer_at_once(folder)}"


def fewer_at_once(folder: Path) -> str:
    """Return advice for less memory if students were trained in lockstep."""
    try:
        lockstep = read_yaml(folder / CONFIG)["train"]["lockstep"]
    except (DamagedError, KeyError, TypeError):
        return ""
    return f" (train.lockstep={lockstep}: fewer at once need less)" if lockstep > 1 else ""


def guarded_job(folder: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Do the work in the child process; record a failure and exit with its code."""
    try:
        work(*arguments)
    except Stopped as error:
        sys.exit(error.code)
    except KdrunError as error:
        record_failure(folder, error.code, str(error))
        sys.exit(error.code)
    except Exception as error:
        show(traceback.format_exc(), file=sys.stderr)
        record_failure(folder, KdrunError.code, f"{type(error).__name__}: {error}")
        sys.exit(KdrunError.code)


def new_run(config: Any, folder: Path, overrides: list[str], later: Siblings) -> None:
    """Run the config in the folder."""
    from kdrun.runs.runner import run  # noqa: PLC0415 - imports torch

    run(config, folder, overrides, later)


def old_run(folder: Path, overrides: list[str], later: Siblings) -> None:
    """Resume the run in the folder."""
    from kdrun.runs.resume import resume_run  # noqa: PLC0415 - imports torch

    resume_run(folder, overrides, later)


def record_failure(folder: Path, code: int, message: str) -> None:
    """Print and write the reason of a job's failure.

    Raises:
        OutputError: the folder is a link, and nothing is written.
    """
    show(f"kdrun: {message}", file=sys.stderr)
    refuse_links_to(folder, root_above(folder))
    status = Status(folder, trained_stages(folder))  # needed by a resumed run
    status.write("failed", {"code": code, "message": message})


def score(job: Mapping[str, Any]) -> float:
    """Return the score of a job: the student's validation accuracy, or else training accuracy."""
    if job["status"] != "done":
        return WORST
    accuracy = job["train"] if job["validation"] is None else job["validation"]
    return float(accuracy)


def close_sweep(
    folder: Path, config_dir: Path | None = None, broken_by: Exception | None = None
) -> None:
    """Print the table of the jobs and write `sweep.json`; exit with the worst job's code.

    Args:
        folder: folder of the sweep.
        config_dir: folder with the user's own YAML.
        broken_by: error of the sweeper or launcher that ended the sweep early.
    """
    content = show_sweep(folder, config_dir)
    write_sealed(folder / "sweep.json", content)
    show(f"results: {folder}; 'kdrun report {folder}' compares the jobs")
    if broken_by is not None:
        show(f"kdrun: the sweep ended early: {first_line(broken_by)}", file=sys.stderr)
    code = max((job["code"] for job in content["jobs"]), default=0)
    if code:
        sys.exit(code)


def close_broken(folder: Path, config_dir: Path | None, error: BaseException | None) -> None:
    """End a sweep that its sweeper or launcher broke off, with the table of its jobs.

    Raises:
        Stopped: Ctrl-C in this process; jobs may continue where a launcher runs them.
        SystemExit: a job is not done.
    """
    if isinstance(error, KeyboardInterrupt):
        raise Stopped(
            f"stopped; 'kdrun resume {folder}' continues, once no job runs elsewhere any more"
        ) from error
    if isinstance(error, Exception) and not isinstance(error, KdrunError):
        close_sweep(folder, config_dir, broken_by=error)
