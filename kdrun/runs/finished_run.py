"""A finished run opened again, to be measured or exported."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError
from kdrun.runs.born_again import replay_stops
from kdrun.runs.resume import changed_config, rebuilt
from kdrun.runs.saved_run import read_run
from kdrun.runs.temperature_selection import apply_recorded
from kdrun.signals import stop_requests
from kdrun.store.finished_runs import read_summary
from kdrun.store.run_folder import SUMMARY, occupied
from kdrun.store.stages import finished
from kdrun.training.context import ContextBySeed, StageRun

REMEDY = (
    "a run is measured and exported with all that it was made of: bring that back as it was, and "
    "tell where images were moved to with dataset.root=; its weights stay in its stages/"
)


@contextmanager
def finished_jobs(
    folder: Path, changes: Mapping[str, Any] | None = None
) -> Iterator[tuple[list[StageRun], ContextBySeed]]:
    """Have the run to oneself: its stages, finished and whole, and their settings by seed.

    Args:
        folder: the run's.
        changes: of `checked_places`: where its images are now, on which device.

    Raises:
        ConfigError: it is no finished run.
        DamagedError: a file of it is not as it was written.
        DataError, WeightsError: what it was trained on has changed.
    """
    saved = read_run(folder)
    if not (folder / SUMMARY).exists():
        raise ConfigError(f"{folder}: the run is not finished; 'kdrun resume {folder}' goes on")
    config = changed_config(folder, saved, changes or {})
    with stop_requests() as stop, occupied(folder):
        planned, contexts = rebuilt(config, saved, stop, REMEDY)
        stage_runs = apply_recorded(planned, contexts, folder)
        if config.chain.stop_early:
            stages = read_summary(folder)["stages"]
            stage_runs = replay_stops(stage_runs, stages, contexts)
        for stage_run in stage_runs:
            if finished(stage_run.folder, stage_run.digest) is None:
                raise ConfigError(
                    f"{stage_run.folder}: {stage_run.title} is no longer in the store"
                )
        yield stage_runs, contexts
