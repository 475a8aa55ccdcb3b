"""The folder of a sweep, with its planned and started jobs; treated as untrusted."""

from collections.abc import Container, Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from kdrun.errors import ConfigError, DamagedError, OutputError
from kdrun.store.files import read_yaml, write_yaml
from kdrun.store.folders import make_folder, refuse_link
from kdrun.store.plain_overrides import plain_settings, refers, shown
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
LOCAL = "basic"
"""Hydra's name of the launcher that runs jobs in the same process, one after another."""

Jobs = dict[str, list[str]]
"""Overrides of every job by the name of its folder."""


def begin_sweep(
    folder: Path,
    overrides: Sequence[str],
    jobs: list[list[str]] | None,
    shared: Mapping[str, Any] | None = None,
    folders: Sequence[str] | None = None,
    launcher: str = LOCAL,
) -> None:
    """Record the sweep, so that it can be resumed.

    Args:
        folder: of the sweep.
        overrides: as given on the command line.
        jobs: overrides of every job, or None if the sweeper chooses them during the sweep.
        shared: values of the keys common to all jobs, to recognise their runs.
        folders: of the jobs, relative to the sweep's; None for their numbers.
        launcher: Hydra's name of the launcher that runs the jobs.
    """
    make_folder(folder, root_above(folder))
    notes = {"format": 1, "launcher": launcher, "overrides": list(overrides), "jobs": jobs}
    if folders is not None:
        notes["folders"] = list(folders)
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
    numbered = [f"[0-9]*/{name}" for name in (OVERRIDES, CONFIG, STATUS)]
    named = [f"[!.]*/{OVERRIDES}", f"[!.]*/[!.]*/{OVERRIDES}"]  # by hydra.sweep.subdir
    return "another sweep" if any(any(folder.glob(one)) for one in numbered + named) else None


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
    names = listed_folders(path, notes)
    return {name: plain_settings(path, job) for name, job in zip(names, notes["jobs"], strict=True)}


def listed_folders(path: Path, notes: Mapping[str, Any]) -> list[str]:
    """Names of the jobs' folders in a sweep's record.

    Raises:
        DamagedError: there is not one folder below the sweep's for every job.
        OutputError: a folder above a job's is a link.
    """
    count = len(notes["jobs"])
    names = notes.get("folders")
    if names is None:
        return [str(number) for number in range(count)]
    if not isinstance(names, list) or len(names) != count or folders_fault(names):
        raise DamagedError(f"{path} is damaged: it does not name a folder for every job")
    for above in {path.parent / part for name in names for part in PurePosixPath(name).parents}:
        if above != path.parent:
            refuse_link(above)
            if (above / SWEEP).exists():
                raise DamagedError(f"{path} is damaged: it has jobs in the sweep {above}")
    return names


def folders_fault(names: Sequence[Any]) -> str | None:
    """The reason why names cannot be those of the jobs' folders; None if they can."""
    for number, name in enumerate(names):
        if not isinstance(name, str) or not all(part.strip(". ") for part in name.split("/")):
            return f"job {number} would be in '{name}', which is not a folder below the sweep's"
        if refers(name) or not name.isprintable():
            return f"job {number} would be in {name!r}, which is not a plain name"
    parts = sorted((name.split("/"), number) for number, name in enumerate(names))
    for (outer, one), (inner, other) in pairwise(parts):
        if inner[: len(outer)] == outer:
            first, second = sorted((one, other))
            return f"jobs {first} and {second} would be in '{'/'.join(outer)}'"
    return None


def sweep_of(job: Path) -> Path:
    """The folder of the sweep with the job: the nearest one above with a record."""
    return next((above for above in job.parents if (above / SWEEP).exists()), job.parent)


def noted_launcher(folder: Path) -> str:
    """The launcher of the sweep; only for messages."""
    notes = read_yaml(folder / SWEEP) if (folder / SWEEP).exists() else None
    name = notes.get("launcher", LOCAL) if isinstance(notes, dict) else LOCAL
    return name if isinstance(name, str) and name.isidentifier() else LOCAL


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
