"""The folder of a sweep: its jobs, planned and begun; it may come from anyone."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, DamagedError, OutputError
from kdrun.store.files import read_yaml, write_yaml
from kdrun.store.folders import make_folder
from kdrun.store.run_folder import (
    CONFIG,
    OVERRIDES,
    STATUS,
    SWEEP_NOTES,
    holder,
    in_use,
    root_above,
)

SWEEP = SWEEP_NOTES

Jobs = dict[str, list[str]]
"""The overrides of every job by the name of its folder."""

_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=.*", re.DOTALL)
_REFERENCE = re.compile(r"\$\\*\{")  # Hydra writes it as $\{
_OPTION = re.compile(r"""[\w\s.,\[\]'"/+-]*""")


def begin_sweep(
    folder: Path,
    overrides: Sequence[str],
    jobs: list[list[str]] | None,
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Note what the sweep is, so that it can be resumed.

    Args:
        folder: the sweep's.
        overrides: as given on the command line.
        jobs: the overrides of every job, or None where the sweeper chooses as it goes.
        shared: the values of the keys that are the same in all jobs, to tell their runs by.
    """
    make_folder(folder, root_above(folder))
    notes = {"format": 1, "overrides": list(overrides), "jobs": jobs}
    write_yaml(folder / SWEEP, notes | {"shared": dict(shared or {})})


def refuse_taken(folder: Path, jobs: list[list[str]] | None, claimed: bool = False) -> None:
    """See that the folder of a new sweep holds no sweep and no run; nothing is written.

    Args:
        folder: the sweep's.
        jobs: the overrides of every job, to tell the same sweep from another.
        claimed: by this process.

    Raises:
        OutputError: it holds one.
    """
    held = what_is_held(folder, jobs)
    if held is None:
        return
    if not claimed and in_use(folder):
        raise OutputError(f"{folder}: in use by {holder(folder)}")
    raise OutputError(
        f"{folder}: holds {held} already; 'kdrun resume {folder}' goes on with it, or name another "
        "folder"
    )


def what_is_held(folder: Path, jobs: list[list[str]] | None = None) -> str | None:
    """`a run`, `this sweep` or `another sweep`; None for a folder that is free.

    Jobs without the notes of their sweep are a sweep too, which lost them.
    """
    if not folder.is_dir():
        return None
    if (folder / CONFIG).exists():
        return "a run"
    if (folder / SWEEP).exists():
        return "this sweep" if jobs is not None and same_jobs(folder, jobs) else "another sweep"
    begun = [folder.glob(f"[0-9]*/{name}") for name in (OVERRIDES, CONFIG, STATUS)]
    return "another sweep" if any(any(paths) for paths in begun) else None


def same_jobs(folder: Path, jobs: list[list[str]]) -> bool:
    """Whether the sweep in the folder lists these jobs."""
    try:
        return list((listed_jobs(folder) or {}).values()) == jobs
    except (DamagedError, ConfigError):
        return False


def listed_jobs(folder: Path) -> Jobs | None:
    """The overrides of every job by the name of its folder; None where they are not listed.

    Raises:
        DamagedError: the sweep's notes cannot be read.
        ConfigError: they hold what the notes of a sweep never do.
    """
    path = folder / SWEEP
    notes = read_yaml(path)
    if not isinstance(notes, dict) or not isinstance(notes.get("jobs"), list | None):
        raise DamagedError(f"{path} is damaged: it lists no jobs")
    if notes.get("jobs") is None:
        return None
    return {str(number): plain_settings(path, job) for number, job in enumerate(notes["jobs"])}


def noted_values(folder: Path) -> dict[str, Any]:
    """The values that all jobs share; none of a sweep of an earlier kdrun.

    Raises:
        DamagedError: the sweep's notes cannot be read.
    """
    path = folder / SWEEP
    if not path.exists():
        return {}
    notes = read_yaml(path)
    shared = notes.get("shared", {}) if isinstance(notes, dict) else None
    if not isinstance(shared, dict) or not all(isinstance(key, str) for key in shared):
        raise DamagedError(f"{path} is damaged: it does not say what its jobs share")
    return shared


def noted_root(folder: Path) -> str | None:
    """The output root that the sweep was given, to be told and never to be used."""
    notes = read_yaml(folder / SWEEP)
    given = [
        one for job in notes.get("jobs") or [] for one in job if one.startswith("output_root=")
    ]
    return shown(given[0]) if given else None


def begun_jobs(folder: Path) -> Jobs:
    """The overrides of every job that has a folder, by its name."""
    found = sorted(folder.glob(f"*/{OVERRIDES}"), key=lambda path: path.parent.name.zfill(9))
    return {path.parent.name: plain_settings(path, read_yaml(path)) for path in found}


def sweep_jobs(folder: Path) -> Jobs:
    """The listed jobs, or else those begun; raises as both."""
    listed = listed_jobs(folder) if (folder / SWEEP).exists() else None
    return begun_jobs(folder) if listed is None else listed


def unlisted_folders(folder: Path, jobs: Container[str]) -> list[str]:
    """The names of folders that hold a job which the sweep does not list."""
    begun = {path.parent.name for path in folder.glob(f"*/{OVERRIDES}")}
    return sorted((name for name in begun if name not in jobs), key=lambda name: name.zfill(9))


def plain_settings(path: Path, job: Any) -> list[str]:
    """A job's overrides as they were read, checked; without the output root.

    Where the stages are kept follows from where the sweep is, so that both can be moved.

    Raises:
        DamagedError: they are no list of texts.
        ConfigError: one is more than a plain value for a setting.
    """
    if not isinstance(job, list) or not all(isinstance(one, str) for one in job):
        raise DamagedError(f"{path} is damaged: a job is no list of key=value")
    for override in job:
        if fault := fault_of(override):
            raise ConfigError(f"{path}: {shown(override)}: {fault}, which a sweep never stores")
    return without_root(job)


def without_root(overrides: Iterable[str]) -> list[str]:
    """The overrides but that of the output root."""
    return [one for one in overrides if one.partition("=")[0] != "output_root"]


def fault_of(override: str) -> str | None:
    """What keeps an override from being a plain value for a setting; None where it is one."""
    key, _, value = override.partition("=")
    if not _SETTING.fullmatch(override):
        return "is not plain key=value"
    if key == "hydra" or key.startswith("hydra."):
        return "is a setting of Hydra's"
    if refers(value):
        return "holds ${...}"
    if "." not in key and key != "output_root" and not is_option(value):
        return "is a path, not the name of an option"
    return None


def refers(value: str) -> bool:
    """Whether a value as it is written on the command line refers to another."""
    return _REFERENCE.search(value) is not None


def is_option(value: str) -> bool:
    """Whether a value can be the name of a group's option, or several; none is a path elsewhere."""
    names = [name.strip(" '\"") for name in value.strip("[] ").split(",")]
    climbing = any(name.startswith("/") or ".." in name.split("/") for name in names)
    return _OPTION.fullmatch(value) is not None and not climbing


def shown(override: str) -> str:
    """An override on one line, of a long one the beginning."""
    text = " ".join(override.split())
    return text if len(text) <= 80 else f"{text[:77]}..."
