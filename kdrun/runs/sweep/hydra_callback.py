"""Hydra callbacks around a sweep. Imports are deferred until a call.

The object is stateless, so that launchers can send it to other processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SweepTable(Callback):
    """Callback that records a sweep and ends with the table and the worst job's exit code."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the sweep's folder and record the jobs, or prevent the first job from starting."""
        from kdrun.runs.sweep.begin import begin  # noqa: PLC0415 - slow to import

        with raised_through_hydra():
            begin(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Show the table of the jobs; exit with the worst job's code."""
        from kdrun.runs.sweep.begin import own_yaml  # noqa: PLC0415
        from kdrun.runs.sweep.sweep import close_sweep  # noqa: PLC0415

        with raised_through_hydra():
            close_sweep(Path(config.hydra.sweep.dir), own_yaml(config.hydra))


@contextmanager
def raised_through_hydra() -> Iterator[None]:
    """Raise errors through Hydra to `run_app`; Hydra would only warn and continue."""
    from kdrun.config.compose import CallbackFailed  # noqa: PLC0415

    try:
        yield
    except Exception as error:
        raise CallbackFailed(error) from error
