"""Runs to report: named ones, jobs of sweeps, and those found below a folder."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdrun.errors import ConfigError, DamagedError, KdrunError, OutputError
from kdrun.report.sweep_jobs import foreign_jobs
from kdrun.store.run_folder import CONFIG, PLAN
from kdrun.store.stages import IDENTITY, LEVELS, STORE
from kdrun.store.sweep_folder import SWEEP, listed_jobs, unlisted_folders

CACHED = "key.json"
"""File that marks a folder of stored teacher outputs."""

UNREADABLE = (ConfigError, DamagedError, OutputError)
"""Errors of a run that is passed over if it was found and not named."""


@dataclass
class Chosen:
    """Runs to report.

    Attributes:
        runs: single runs and the jobs of sweeps, started or not.
        found: those of them that were found below a folder and not named.
        foreign: jobs whose folder holds another run, with the reason.
        passed_over: other folders, with the reason.
        known: the runs and jobs, links resolved.
    """

    runs: dict[Path, None] = field(default_factory=dict)
    found: set[Path] = field(default_factory=set)
    foreign: dict[Path, str] = field(default_factory=dict)
    passed_over: dict[Path, str] = field(default_factory=dict)
    known: set[Path] = field(default_factory=set)

    def add(self, folder: Path) -> None:
        """Add a run, or the jobs of a sweep; one that was added before is kept once."""
        foreign, jobs = foreign_jobs(folder), run_folders(folder)
        self.foreign |= foreign
        for job in jobs:
            whole = job.resolve()
            if whole not in self.known:
                self.known.add(whole)
                self.runs[job] = None

    def add_found(self, folder: Path) -> None:
        """Add what was found below a folder; pass it over if it is damaged."""
        before = set(self.runs)
        try:
            self.add(folder)
        except UNREADABLE as error:
            self.pass_over(folder, error)
        self.found |= self.runs.keys() - before

    def pass_over(self, folder: Path, why: KdrunError | str) -> None:
        """Record why a folder is not reported."""
        self.passed_over[folder] = str(why).removeprefix(f"{folder}: ")


def chosen_runs(folders: Sequence[Path]) -> Chosen:
    """Choose runs, jobs of sweeps, and all that is below other folders.

    Raises:
        ConfigError: there is no run or sweep in a folder.
        DamagedError: a named sweep is damaged.
    """
    chosen = Chosen()
    named = [folder for folder in folders if is_run(folder) or (folder / SWEEP).exists()]
    for folder in named:
        chosen.add(folder)
    for folder in (folder for folder in folders if folder not in named):
        below = [*_below(folder, LEVELS, chosen)]
        if not below:
            raise ConfigError(
                f"{folder}: no run or sweep of kdrun in it or in {LEVELS} levels of folders below; "
                f"name the folder of a run (with {CONFIG} and {PLAN}) or sweep (with {SWEEP})"
            )
        for one in below:
            chosen.add_found(one)
    return chosen


def is_run(folder: Path) -> bool:
    """Whether the folder is that of a run, finished or not."""
    return (folder / CONFIG).exists()


def run_folders(folder: Path) -> list[Path]:
    """The run itself, or all jobs of a sweep in order, started or not."""
    if not (folder / SWEEP).exists():
        return [folder]
    listed = listed_jobs(folder) or {}
    return [folder / name for name in (*listed, *unlisted_folders(folder, listed))]


def _below(folder: Path, levels: int, chosen: Chosen) -> Iterator[Path]:
    """Runs and sweeps below the folder in order of names; links are passed over."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        chosen.pass_over(folder, f"cannot be read: {error.strerror}")
        return
    for path in (folder / name for name in names):
        if not path.is_dir():
            continue
        why = _no_run(path, levels)
        if why is not None:
            chosen.pass_over(path, why)
        elif (path / SWEEP).exists() or (is_run(path) and (path / PLAN).exists()):
            yield path
        else:
            inside = [*_below(path, levels - 1, chosen)]
            yield from inside
            if levels == LEVELS and not inside and not _named_below(path, chosen):
                chosen.pass_over(path, "no run or sweep in it")


def _named_below(folder: Path, chosen: Chosen) -> bool:
    return any(path.is_relative_to(folder) for path in chosen.passed_over)


def _no_run(path: Path, levels: int) -> str | None:
    """Why a folder is not searched; None if it is."""
    if path.is_symlink():
        return "a link"
    if path.name.startswith("."):
        return "a hidden folder"
    if path.name == STORE or (path / IDENTITY).exists():
        return "stages of runs, kept for reuse"
    if (path / CACHED).exists() or next(path.glob(f"*/{CACHED}"), None) is not None:
        return "stored outputs of teachers"
    return None if levels else f"more than {LEVELS} levels below; name it to report it"
