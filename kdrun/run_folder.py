"""A run's own folder: the claim on it, the files written at its start, its status."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdrun.config.schema import Config
from kdrun.environment import environment
from kdrun.errors import KdrunError, OutputError, Stopped
from kdrun.files import cannot_write, write_json, write_yaml
from kdrun.job import Job, Setting


def claim_run_folder(output_root: Path, dataset: str, pair: str) -> Path:
    """Create `output_root/dataset/pair/<time>`; two runs never get the same folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    parent = output_root / dataset / pair
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise cannot_write(parent, error) from error


def claim_given_folder(folder: Path) -> Path:
    """Create the folder that the user or a sweep named; it must not hold a run already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").open("x").close()
    except FileExistsError:
        raise OutputError(
            f"{folder}: holds a run already; name another folder or remove it"
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def write_run_files(
    folder: Path, config: Config, overrides: Sequence[str], setting: Setting, jobs: Sequence[Job]
) -> None:
    """Write what a run is: its config, overrides, environment and plan."""
    write_yaml(folder / "config.yaml", OmegaConf.structured(config))
    write_yaml(folder / "overrides.yaml", list(overrides))
    write_json(folder / "environment.json", environment(setting.device, setting.precision))
    stages = [
        {
            "role": job.stage.role,
            "arch": job.stage.model.arch,
            "hash": job.digest,
            "teachers": list(job.stage.teachers),
            "parameters": job.parameters,
            "macs": job.macs,
            "epochs": 0 if job.stage.pretrained else job.stage.train.epochs,
        }
        for job in jobs
    ]
    write_json(folder / "plan.json", {"format": 1, "stages": stages})


def record_status(folder: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Keep `status.json` true: running, then done, stopped or failed with the reason."""
    status = {"format": 1, "status": "running"}
    write_json(folder / "status.json", status)
    try:
        result = work()
    except Exception as error:
        state = "stopped" if isinstance(error, Stopped) else "failed"
        code = error.code if isinstance(error, KdrunError) else KdrunError.code
        reason = {"code": code, "message": str(error)}
        write_json(folder / "status.json", {"format": 1, "status": state, "error": reason})
        raise
    write_json(folder / "status.json", status | {"status": "done"})
    return result


def link_stage(link: Path, target: Path) -> None:
    """Point from the run's folder to the stage's in the store, relatively: both can move."""
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(os.path.relpath(target.resolve(), link.parent.resolve()))
