"""Rebuilding of a run's config, stages and contexts from its folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kdrun.config.schema import Config
from kdrun.runs.data_warnings import refuse_older
from kdrun.runs.plan_sizes import plan_for
from kdrun.runs.prepare import make_contexts, make_stage_runs
from kdrun.runs.saved_run import SavedRun, as_recorded, check_same, output_root, parsed
from kdrun.signals import StopRequest
from kdrun.store.run_folder import CONFIG
from kdrun.training.context import ContextBySeed, StageRun


def changed_config(folder: Path, saved: SavedRun, changes: Mapping[str, Any]) -> Config:
    """Return the saved config with the changes and the current output root."""
    config = parsed(saved.config, folder / CONFIG, changes)
    if "output_root" in changes:
        return config
    return replace(config, output_root=str(output_root(folder, config)))


def rebuilt(
    config: Config, saved: SavedRun, stop: StopRequest, remedy: str = "start a new run"
) -> tuple[list[StageRun], ContextBySeed]:
    """Rebuild the run's stages and contexts, with its precision and threads.

    Args:
        config: config of the run, with allowed changes.
        saved: content of the run's folder.
        stop: stop request, checked between batches.
        remedy: advice to the user if something has changed.

    Raises:
        DataError, WeightsError, ConfigError: data, weights or code have changed.
    """
    precise = replace(config, train=replace(config.train, precision=saved.precision))
    contexts = make_contexts(precise, stop)
    torch.set_num_threads(config.train.threads or saved.threads)
    shape = next(iter(contexts.values())).data.shape
    stages = as_recorded(plan_for(precise, shape), saved.stages)
    stage_runs = make_stage_runs(stages, contexts)
    refuse_older(stage_runs, saved.stages, contexts)
    check_same(stage_runs, saved.stages, remedy)
    return stage_runs, contexts
