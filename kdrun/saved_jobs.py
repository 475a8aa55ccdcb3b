"""A finished run opened from its folder and the store, to be measured or exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from kdrun.errors import ConfigError
from kdrun.job import Job, Setting
from kdrun.plan import build_plan
from kdrun.prepare import make_jobs
from kdrun.resume import changed_config
from kdrun.run_folder import SUMMARY, occupied
from kdrun.runner import make_setting
from kdrun.saved_run import as_recorded, check_same, read_run
from kdrun.stop import stop_requests
from kdrun.store import finished


@contextmanager
def finished_jobs(folder: Path) -> Iterator[tuple[list[Job], Setting]]:
    """Have the run to oneself: its stages, all of them finished and whole, and its data.

    Raises:
        ConfigError: it is no finished run.
        DamagedError: a file of it is not as it was written.
        DataError, WeightsError: what it was trained on has changed.
    """
    saved = read_run(folder)
    if not (folder / SUMMARY).exists():
        raise ConfigError(f"{folder}: the run is not finished; 'kdrun resume {folder}' goes on")
    config = changed_config(folder, saved, {})
    config = replace(config, train=replace(config.train, precision=saved.precision))
    with stop_requests() as stop, occupied(folder):
        setting = make_setting(config, stop)
        torch.set_num_threads(saved.threads)
        stages = as_recorded(build_plan(config), saved.stages)
        jobs = make_jobs(stages, setting, Path(config.output_root))
        check_same(jobs, saved.stages)
        for job in jobs:
            if finished(job.folder) is None:
                raise ConfigError(f"{job.folder}: {job.title} is no longer in the store")
        yield jobs, setting
