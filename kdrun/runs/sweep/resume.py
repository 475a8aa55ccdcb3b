"""Resuming of a sweep: keep finished jobs, run the rest."""

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from kdrun.errors import ConfigError, DamagedError, OutputError
from kdrun.escaping import show
from kdrun.report.sweep_jobs import FOREIGN, job_state, read_jobs
from kdrun.runs.lockstep.siblings import LaterJobs, no_siblings
from kdrun.runs.resume_overrides import checked_overrides
from kdrun.runs.sweep.launch import launch
from kdrun.runs.sweep.sweep import close_sweep, do_job, in_own_process, old_run
from kdrun.store.run_folder import CONFIG, PATIENCE, STATUS, in_use
from kdrun.store.stages import IDENTITY, STORE, root_with_store
from kdrun.store.sweep_folder import (
    LOCAL,
    SWEEP,
    Jobs,
    listed_jobs,
    noted_launcher,
    noted_root,
    sweep_jobs,
    sweep_of,
)

SWEEPS = "sweeps"
"""Default folder of sweeps below an output root."""


def resume_sweep(
    folder: Path,
    overrides: Sequence[str],
    config_dir: Path | None,
    launcher: Sequence[str] = (),
) -> None:
    """Keep finished jobs; resume interrupted, retry failed and run missing ones.

    Args:
        folder: folder of the sweep.
        overrides: overrides of every job, as in `kdrun resume` for a run.
        config_dir: folder with the user's own YAML, as given to the sweep.
        launcher: overrides of a launcher that runs the jobs; none: one after another here.
    """
    checked_overrides(overrides)
    jobs = sweep_jobs(folder)
    if (folder / SWEEP).exists() and listed_jobs(folder) is None:
        show("the sweep has no list of jobs: only jobs already started are finished")
    states = {job["job"]: job["status"] for job in read_jobs(folder, config_dir)}
    kept = [name for name in jobs if states[name] != FOREIGN]
    longer = jobs_to_extend(folder, kept, overrides)
    rest = [name for name in kept if states[name] != "done" or name in longer]
    if rest and any(word != f"hydra/launcher={LOCAL}" for word in launcher):
        whole = Path(os.path.abspath(folder))  # a worker may start anywhere
        own = None if config_dir is None else Path(os.path.abspath(config_dir))
        work = partial(do_named, whole, jobs, overrides, own, bool(longer))
        launch(whole, rest, work, launcher, own)
    else:
        show_local(folder, rest)
        for name in rest:
            do_named(folder, jobs, overrides, config_dir, bool(longer), name)
    close_sweep(folder, config_dir)


def show_local(folder: Path, jobs: Sequence[str]) -> None:
    """Say that the jobs run here if the sweep was started on another launcher."""
    used = noted_launcher(folder)
    if jobs and used != LOCAL:
        many = f"{len(jobs)} jobs run here, one after another"
        show(
            f"{'one job runs here' if len(jobs) == 1 else many}; for the sweep's launcher add "
            f"-m hydra/launcher={used}"
        )


def do_named(
    folder: Path,
    jobs: Jobs,
    overrides: Sequence[str],
    config_dir: Path | None,
    alone: bool,
    name: str,
) -> None:
    """Show and do the rest of the job named by its folder; see `do_rest`."""
    settings = jobs[name]
    status = job_state(folder / name)["status"]
    show(f"\njob {name} ({status}): {' '.join(settings)}", flush=True)
    do_rest(folder / name, settings, overrides, config_dir, alone)


def do_rest(
    job: Path, settings: list[str], overrides: Sequence[str], config_dir: Path | None, alone: bool
) -> None:
    """Resume a job, or start a missing one.

    Args:
        job: folder of the job.
        settings: overrides of the job.
        overrides: overrides of all jobs.
        config_dir: folder with the user's own YAML.
        alone: whether to train without later jobs in lockstep.
    """
    rooted = with_root(sweep_of(job), overrides)
    # A stage continued from a checkpoint is not determined by its settings alone.
    later = no_siblings if alone else LaterJobs(job, tuple(rooted), config_dir)
    # A job whose sweep was killed gets a stop signal, and needs a moment to save.
    if (job / STATUS).exists() and in_use(job, PATIENCE):
        show("another process is working on it", flush=True)
    elif (job / CONFIG).exists():
        in_own_process(job, old_run, (job, list(overrides), later))
    else:
        compose = partial(compose_rest, [*settings, *rooted], config_dir)
        do_job(compose, job, settings, later)
        # A starting process of a killed sweep may have begun the job meanwhile.
        if (job / CONFIG).exists() and job_state(job)["code"] == OutputError.code:
            in_own_process(job, old_run, (job, list(overrides), later))


def compose_rest(overrides: list[str], config_dir: Path | None) -> DictConfig:
    """Compose the config of a job that was not started."""
    from kdrun.config.sweep_overrides import compose_listed  # noqa: PLC0415 - imports Hydra

    return compose_listed(overrides, config_dir)


def with_root(folder: Path, overrides: Sequence[str]) -> list[str]:
    """Return the overrides with the output root of the sweep, unless they set one."""
    from kdrun.config.sweep_overrides import written  # noqa: PLC0415 - imports Hydra

    if any(one.startswith("output_root=") for one in overrides):
        return list(overrides)
    root = root_of_sweep(folder)
    if root is None:
        return list(overrides)
    return [*overrides, f"output_root={written(str(root))}"]


def root_of_sweep(folder: Path) -> Path | None:
    """Return the output root of the sweep's jobs; None for the config's.

    The root is found from the location of the folder, never from its content: a sweep is untrusted
    and is moved together with its store.

    Raises:
        ConfigError: the sweep had an output root elsewhere.
    """
    root = root_with_store(folder)
    if root is not None:
        return root
    for link in sorted(folder.glob("*/stages/*")):
        stage = link.resolve()
        if stage.parent.name == STORE and (stage / IDENTITY).is_file():
            return stage.parent.parent
    parent = folder.resolve().parent
    if parent.name == SWEEPS:
        return parent.parent
    given = noted_root(folder) if (folder / SWEEP).exists() else None
    if given is not None:
        raise ConfigError(f"{folder}: kept its stages elsewhere; to use that folder add {given}")
    return None


def jobs_to_extend(folder: Path, jobs: Iterable[str], overrides: Sequence[str]) -> set[str]:
    """Return the started jobs whose epochs are raised, after checking all jobs.

    Raises:
        ConfigError: an override is not allowed for one of the runs.
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
            continue  # reported when the job is resumed
    return longer
