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
from kdrun.training.context import Job, Setting


def write_run_files(
    folder: Path, config: Config, overrides: Sequence[str], setting: Setting, jobs: Sequence[Job]
) -> None:
    """Write what a run is: its overrides, environment, plan, and last the config."""
    write_yaml(folder / OVERRIDES, list(overrides))
    write_sealed(folder / ENVIRONMENT, environment(setting.device, setting.precision))
    write_sealed(folder / PLAN, plan_content(jobs))
    write_yaml(folder / CONFIG, OmegaConf.structured(config))


def plan_content(jobs: Sequence[Job]) -> dict[str, Any]:
    """The stages with all that determines them, as `plan.json` holds them."""
    stages = [
        stage_label(job.stage)
        | {
            "arch": job.stage.model.arch,
            "hash": job.digest,
            "teachers": list(job.stage.teachers),
            "parameters": job.parameters,
            "macs": job.macs,
            "epochs": 0 if job.stage.pretrained else job.stage.train.epochs,
            "T": "auto" if job.stage.undecided else job.identity.get("loss", {}).get("T"),
            "identity": job.identity,
        }
        for job in jobs
    ]
    return {"format": 1, "stages": stages}


def link_stage(link: Path, target: Path) -> None:
    """Point from the run's folder to the stage's in the store, relatively: both can move."""
    make_folder(link.parent, link.parent.parent)
    remove_file(link)
    try:
        link.symlink_to(os.path.relpath(target.resolve(), link.parent.resolve()))
    except OSError as error:
        raise cannot_write(link, error) from error
