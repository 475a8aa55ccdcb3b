"""Atomic reopening of a finished run for more epochs.

The changes are first written to a separate file. If a process is killed while it applies them, the
next process that opens the run finds this file and applies the rest.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from omegaconf import OmegaConf

from kdrun.config.schema import Config
from kdrun.errors import DamagedError, OutputError
from kdrun.escaping import show
from kdrun.runs.run_record import plan_content
from kdrun.store.files import read_sealed, sync_folder, write_atomic, write_sealed
from kdrun.store.folders import remove_file, rename
from kdrun.store.run_folder import ANALYSIS, CONFIG, EXPORT, PLAN, REPORT, SUMMARY
from kdrun.training.context import StageRun

INTENT = "reopening.json"


def reopen(folder: Path, config: Config, stage_runs: Sequence[StageRun]) -> None:
    """Give the run another config and longer stages; remove its results.

    Raises:
        OutputError: a file cannot be written or removed.
    """
    text = OmegaConf.to_yaml(OmegaConf.structured(config))
    write_sealed(folder / INTENT, {"format": 1, "config": text, "plan": plan_content(stage_runs)})
    finish_reopening(folder)


def refuse_copied_stages(folder: Path) -> None:
    """Refuse a run with stages that are folders, as in copies that follow links.

    Call this before anything is removed: the folders block the links to other stages.

    Raises:
        OutputError: a stage is a folder.
    """
    for path in sorted((folder / "stages").glob("*")):
        if path.is_dir() and not path.is_symlink():
            raise OutputError(
                f"{path}: is a copy, not a link to the store, so the run can be read but not "
                "trained: copy the output root with its links (cp -a), or start a new run"
            )


def finish_reopening(folder: Path) -> None:
    """Apply the noted changes; idempotent.

    The summary is removed first, so that the run no longer counts as finished, and the note last.

    Raises:
        DamagedError: the note fails its checksum.
        OutputError: a file cannot be written or removed.
    """
    path = folder / INTENT
    if not path.exists():
        return
    intent = read_sealed(path)
    config, plan = intent.get("config"), intent.get("plan")
    if not isinstance(config, str) or not isinstance(plan, dict):
        raise DamagedError(f"{path} is damaged: config or plan is missing")
    for stale in (SUMMARY, ANALYSIS, REPORT):
        remove_file(folder / stale)
    set_export_aside(folder)
    sync_folder(folder)
    write_sealed(folder / PLAN, plan)
    write_atomic(folder / CONFIG, config.encode())
    remove_file(path)
    sync_folder(folder)


def set_export_aside(folder: Path) -> None:
    """Rename the export of the shorter run's student, so that it does not look like the new one.

    Raises:
        OutputError: the folder cannot be renamed.
    """
    export = folder / EXPORT
    if not export.is_dir() or export.is_symlink():
        return
    names = (f"{EXPORT}-earlier-{number}" for number in count(1))
    aside = rename(export, next(folder / name for name in names if not (folder / name).exists()))
    show(
        f"{export} held the student of the shorter run and is now {aside.name}; "
        f"'kdrun export {folder}' exports the longer run's when it is finished"
    )
