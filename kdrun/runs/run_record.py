"""Record of a run at its start: config, overrides, environment, plan."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdrun.config.schema import Config
from kdrun.plan.stage import stage_label
from kdrun.runs.environment import environment
from kdrun.store.files import cannot_write, write_sealed, write_yaml
from kdrun.store.folders import make_folder, remove_file
from kdrun.store.run_folder import CONFIG, ENVIRONMENT, OVERRIDES, PLAN
from kdrun.training.context import RunContext, StageRun


def write_run_files(
    folder: Path,
    config: Config,
    overrides: Sequence[str],
    context: RunContext,
    stage_runs: Sequence[StageRun],
) -> None:
    """Write overrides, environment and plan of a run, and last the config."""
    write_yaml(folder / OVERRIDES, list(overrides))
    write_sealed(folder / ENVIRONMENT, environment(context.device, context.precision))
    write_sealed(folder / PLAN, plan_content(stage_runs))
    write_yaml(folder / CONFIG, OmegaConf.structured(config))


def plan_content(stage_runs: Sequence[StageRun]) -> dict[str, Any]:
    """Return the content of `plan.json`: the stages with their identities."""
    stages = [
        stage_label(stage_run.stage)
        | {
            "arch": stage_run.stage.model.arch,
            "hash": stage_run.digest,
            "teachers": list(stage_run.stage.teachers),
            "parameters": stage_run.parameters,
            "macs": stage_run.macs,
            "epochs": 0 if stage_run.stage.pretrained else stage_run.stage.train.epochs,
            "T": "auto"
            if stage_run.stage.undecided
            else stage_run.identity.get("loss", {}).get("T"),
            "identity": stage_run.identity,
        }
        for stage_run in stage_runs
    ]
    return {"format": 1, "stages": stages}


def link_stage(link: Path, target: Path) -> None:
    """Link the run's folder to the stage in the store; relative, so that both can be moved."""
    make_folder(link.parent, link.parent.parent)
    remove_file(link)
    try:
        link.symlink_to(os.path.relpath(target.resolve(), link.parent.resolve()))
    except OSError as error:
        raise cannot_write(link, error) from error
