"""Hydra's callbacks around a sweep. Imports nothing before it is called."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepTable(Callback):
    """Notes what a sweep is, and closes it with its table and the worst job's exit code."""

    def __init__(self) -> None:
        self.claim = ExitStack()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the jobs down; other processes are kept out of the sweep's folder."""
        from kdrun.config.sweep_overrides import planned_jobs  # noqa: PLC0415 - all of it costs start-up
        from kdrun.store.run_folder import occupied  # noqa: PLC0415
        from kdrun.store.sweep_folder import begin_sweep  # noqa: PLC0415

        folder = Path(config.hydra.sweep.dir)
        self.claim.enter_context(occupied(folder))
        begin_sweep(folder, list(config.hydra.overrides.task), planned_jobs(config.hydra))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Hand the sweep's folder on."""
        from kdrun.runs.sweep.sweep import close_sweep  # noqa: PLC0415

        self.claim.close()
        close_sweep(Path(config.hydra.sweep.dir))
