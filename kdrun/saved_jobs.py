"""A finished run opened from its folder and the store, to be measured or exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from kdrun.chain_sizes import plan_for
from kdrun.decide import as_chosen
from kdrun.errors import ConfigError
from kdrun.files import read_sealed
from kdrun.job import Job, Setting, among
from kdrun.prepare import make_jobs
from kdrun.resume import changed_config
from kdrun.run_folder import SUMMARY, occupied
from kdrun.runner import make_settings
from kdrun.saved_run import as_recorded, check_same, read_run
from kdrun.stop import stop_requests
from kdrun.store import finished


@contextmanager
def finished_jobs(folder: Path) -> Iterator[tuple[list[Job], Setting]]:
    """Have the run to oneself: its stages, finished and whole, and its data; of the first seed.

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
        settings = make_settings(config, stop)
        setting = next(iter(settings.values()))
        torch.set_num_threads(saved.threads)
        root = Path(config.output_root)
        stages = as_recorded(plan_for(config, setting.data.shape), saved.stages)
        planned = make_jobs(stages, settings, root)
        check_same(planned, saved.stages)
        jobs = as_chosen(planned, settings, folder, root)
        done = {stage["hash"] for stage in read_sealed(folder / SUMMARY)["stages"]}
        kept = [j for j in jobs if j.digest in done and j.stage.seed == jobs[0].stage.seed]
        jobs = among(kept, jobs)
        for job in jobs:
            if finished(job.folder) is None:
                raise ConfigError(f"{job.folder}: {job.title} is no longer in the store")
        yield jobs, setting
