"""Hydra's callback at the end of a sweep. Loaded before each config is checked: imports nothing."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepTable(Callback):
    """Closes a sweep with its table and the worst job's exit code."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Hand the sweep's folder on."""
        from kdrun.sweep import close_sweep  # noqa: PLC0415 - rich takes a tenth of a second

        close_sweep(config.hydra.sweep.dir)
