"""Opening of a finished run for measuring or exporting."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdrun.config.schema import Config
from kdrun.errors import ConfigError
from kdrun.runs.born_again import replay_stops
from kdrun.runs.rebuild import changed_config, rebuilt
from kdrun.runs.saved_run import SavedRun, read_run
from kdrun.runs.temperature_selection import apply_recorded
from kdrun.signals import StopRequest, stop_requests
from kdrun.store.finished_runs import linked_stage, read_summary
from kdrun.store.run_folder import SUMMARY, occupied
from kdrun.store.stages import finished
from kdrun.training.context import ContextBySeed, StageRun

REMEDY = (
    "measuring and exporting need the original data and weights: restore them, and give the folder "
    "of moved images as dataset.root=; the trained weights are still in stages/"
)


@contextmanager
def finished_jobs(
    folder: Path, changes: Mapping[str, Any] | None = None
) -> Iterator[tuple[list[StageRun], ContextBySeed]]:
    """Lock the run and return its finished stages, and contexts by seed.

    The stages are those in the run's own folder, links or copies, and else those of the store;
    `check_finished` verifies the ones that are used.

    Args:
        folder: folder of the run.
        changes: result of `checked_places`, such as the folder of images, and the device.

    Raises:
        ConfigError: the run is not finished.
        DamagedError: a file of the run fails its checksum, or a link leads to another stage.
        DataError, WeightsError: the data or weights of its training have changed.
    """
    saved = read_run(folder)
    if not (folder / SUMMARY).exists():
        raise ConfigError(f"{folder}: the run is not finished; 'kdrun resume {folder}' continues")
    config = changed_config(folder, saved, changes or {})
    with stop_requests() as stop, occupied(folder):
        yield finished_stages(folder, config, saved, stop)


def finished_stages(
    folder: Path, config: Config, saved: SavedRun, stop: StopRequest
) -> tuple[list[StageRun], ContextBySeed]:
    """Return the finished stages of a run whose lock is held, and contexts by seed.

    Raises:
        DamagedError: a file of the run fails its checksum, or a link leads to another stage.
        DataError, WeightsError: the data or weights of its training have changed.
    """
    planned, contexts = rebuilt(config, saved, stop, REMEDY)
    stage_runs = apply_recorded(planned, contexts, folder)
    if config.chain.stop_early:
        stages = read_summary(folder)["stages"]
        stage_runs = replay_stops(stage_runs, stages, contexts)
    return [own_stage(folder, *numbered) for numbered in enumerate(stage_runs)], contexts


def own_stage(folder: Path, place: int, stage_run: StageRun) -> StageRun:
    """Return the stage with its place in the run's own folder; unchanged without one."""
    found = linked_stage(folder, place, stage_run.digest)
    return stage_run if found is None else replace(stage_run, folder=found)


def check_finished(stage_runs: Sequence[StageRun]) -> None:
    """Verify every file of the stages.

    Raises:
        ConfigError: a stage is neither in the run's folder nor in the store.
        DamagedError: a file is damaged.
    """
    for stage_run in stage_runs:
        if finished(stage_run.folder, stage_run.digest) is None:
            raise ConfigError(
                f"{stage_run.folder}: {stage_run.title} is neither in the run nor in the store"
            )
