"""Reopening of a finished run for more epochs, in one step.

What is to change is written to a file of its own first. A process that is killed while it puts the
parts in place leaves that file, by which the next one to open the run puts in place the rest.
"""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from kdrun.config.schema import Config
from kdrun.errors import DamagedError, OutputError
from kdrun.runs.run_record import plan_content
from kdrun.store.files import read_sealed, sync_folder, write_atomic, write_sealed
from kdrun.store.folders import remove_file
from kdrun.store.run_folder import ANALYSIS, CONFIG, PLAN, REPORT, SUMMARY
from kdrun.training.context import StageRun

INTENT = "reopening.json"


def reopen(folder: Path, config: Config, stage_runs: Sequence[StageRun]) -> None:
    """Give the run another config and longer stages; its results are no more.

    Raises:
        OutputError: a file cannot be written or removed.
    """
    text = OmegaConf.to_yaml(OmegaConf.structured(config))
    write_sealed(folder / INTENT, {"format": 1, "config": text, "plan": plan_content(stage_runs)})
    finish_reopening(folder)


def refuse_copied_stages(folder: Path) -> None:
    """Refuse a run whose stages are folders of its own, as copies that follow links have them.

    Before anything is removed: where they are, the links to other stages cannot be put.

    Raises:
        OutputError: one is.
    """
    for path in sorted((folder / "stages").glob("*")):
        if path.is_dir() and not path.is_symlink():
            raise OutputError(
                f"{path}: is a copy, not a link to the store; such a run can be read, not trained "
                "on: copy it with its output root and its links (cp -a), or start a new run"
            )


def finish_reopening(folder: Path) -> None:
    """Put in place what was noted; the same again changes nothing.

    The summary goes first, so that nobody takes the run for finished, and the note last.

    Raises:
        DamagedError: the note is not as it was written.
        OutputError: a file cannot be written or removed.
    """
    path = folder / INTENT
    if not path.exists():
        return
    intent = read_sealed(path)
    config, plan = intent.get("config"), intent.get("plan")
    if not isinstance(config, str) or not isinstance(plan, dict):
        raise DamagedError(f"{path} is damaged: it holds no config and plan")
    for stale in (SUMMARY, ANALYSIS, REPORT):
        remove_file(folder / stale)
    sync_folder(folder)
    write_sealed(folder / PLAN, plan)
    write_atomic(folder / CONFIG, config.encode())
    remove_file(path)
    sync_folder(folder)
