"""The folder of a sweep, with its planned and started jobs; treated as untrusted."""

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
"""Overrides of every job by the name of its folder."""

_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=.*", re.DOTALL)
_REFERENCE = re.compile(r"\$\\*\{")  # Hydra writes it as $\{
_OPTION = re.compile(r"""[\w\s.,\[\]'"/+-]*""")


def begin_sweep(
    folder: Path,
    overrides: Sequence[str],
    jobs: list[list[str]] | None,
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Record the sweep, so that it can be resumed.

    Args:
        folder: of the sweep.
        overrides: as given on the command line.
        jobs: overrides of every job, or None if the sweeper chooses them during the sweep.
        shared: values of the keys common to all jobs, to recognise their runs.
    """
    make_folder(folder, root_above(folder))
    notes = {"format": 1, "overrides": list(overrides), "jobs": jobs}
    write_yaml(folder / SWEEP, notes | {"shared": dict(shared or {})})


def refuse_taken(folder: Path, jobs: list[list[str]] | None, claimed: bool = False) -> None:
    """Check that the folder of a new sweep holds no sweep or run; writes nothing.

    Args:
        folder: of the sweep.
        jobs: overrides of every job, to recognise the same sweep.
        claimed: whether this process holds the folder.

    Raises:
        OutputError: the folder holds a sweep or a run.
    """
    held = what_is_held(folder, jobs)
    if held is None:
        return
    if not claimed and in_use(folder):
        raise OutputError(f"{folder}: in use by {holder(folder)}")
    raise OutputError(
        f"{folder}: holds {held} already; resume it with 'kdrun resume {folder}', or name another "
        "folder"
    )


def what_is_held(folder: Path, jobs: list[list[str]] | None = None) -> str | None:
    """`a run`, `this sweep` or `another sweep`; None for a free folder.

    Jobs without a sweep record count as a sweep that lost its record.
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
    """Overrides of every job by the name of its folder; None if not listed.

    Raises:
        DamagedError: the sweep's record cannot be read.
        ConfigError: the record holds content that kdrun never writes.
    """
    path = folder / SWEEP
    notes = read_yaml(path)
    if not isinstance(notes, dict) or not isinstance(notes.get("jobs"), list | None):
        raise DamagedError(f"{path} is damaged: it lists no jobs")
    if notes.get("jobs") is None:
        return None
    return {str(number): plain_settings(path, job) for number, job in enumerate(notes["jobs"])}


def noted_values(folder: Path) -> dict[str, Any]:
    """The values common to all jobs; empty for a sweep of an earlier version.

    Raises:
        DamagedError: the sweep's record cannot be read.
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
    """The output root given to the sweep; only for messages, never used as a path."""
    notes = read_yaml(folder / SWEEP)
    given = [
        one for job in notes.get("jobs") or [] for one in job if one.startswith("output_root=")
    ]
    return shown(given[0]) if given else None


def begun_jobs(folder: Path) -> Jobs:
    """Overrides of every started job by the name of its folder."""
    found = sorted(folder.glob(f"*/{OVERRIDES}"), key=lambda path: path.parent.name.zfill(9))
    return {path.parent.name: plain_settings(path, read_yaml(path)) for path in found}


def sweep_jobs(folder: Path) -> Jobs:
    """The listed jobs, or else the started ones; raises the errors of both."""
    listed = listed_jobs(folder) if (folder / SWEEP).exists() else None
    return begun_jobs(folder) if listed is None else listed


def unlisted_folders(folder: Path, jobs: Container[str]) -> list[str]:
    """Names of job folders that are not in the sweep's list."""
    begun = {path.parent.name for path in folder.glob(f"*/{OVERRIDES}")}
    return sorted((name for name in begun if name not in jobs), key=lambda name: name.zfill(9))


def plain_settings(path: Path, job: Any) -> list[str]:
    """Check a job's overrides; return them without the output root.

    The place of the stages follows from the place of the sweep, so that both can be moved.

    Raises:
        DamagedError: the overrides are not a list of strings.
        ConfigError: an override is not a plain value for a setting.
    """
    if not isinstance(job, list) or not all(isinstance(one, str) for one in job):
        raise DamagedError(f"{path} is damaged: a job is not a list of key=value")
    for override in job:
        if fault := fault_of(override):
            raise ConfigError(f"{path}: {shown(override)}: {fault}, which a sweep never stores")
    return without_root(job)


def without_root(overrides: Iterable[str]) -> list[str]:
    """The overrides except the output root."""
    return [one for one in overrides if one.partition("=")[0] != "output_root"]


def fault_of(override: str) -> str | None:
    """The reason why an override is not a plain value for a setting; None if it is one."""
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
    """Whether a value, as written on the command line, has an interpolation."""
    return _REFERENCE.search(value) is not None


def is_option(value: str) -> bool:
    """Whether a value can be one or several names of a group's options, not paths elsewhere."""
    names = [name.strip(" '\"") for name in value.strip("[] ").split(",")]
    climbing = any(name.startswith("/") or ".." in name.split("/") for name in names)
    return _OPTION.fullmatch(value) is not None and not climbing


def shown(override: str) -> str:
    """An override on one line, truncated if long."""
    text = " ".join(override.split())
    return text if len(text) <= 80 else f"{text[:77]}..."
