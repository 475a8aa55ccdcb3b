"""Verification of files against the checksums written with them."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, DamagedError, OutputError
from kdrun.escaping import show
from kdrun.report.checked_figures import check_figures
from kdrun.report.checked_metrics import read_metrics
from kdrun.report.sweep_jobs import foreign_jobs
from kdrun.store.files import read_json, read_json_lines, read_sealed, read_yaml
from kdrun.store.finished_runs import (
    linked_stage,
    planned_hashes,
    read_analysis,
    read_summary,
)
from kdrun.store.folders import refuse_special
from kdrun.store.formats import EPOCH, METRIC, SWEEP_TABLE, format_of
from kdrun.store.run_folder import (
    ANALYSIS,
    CONFIG,
    CORRECT,
    ENVIRONMENT,
    METRICS,
    PLAN,
    TEMPERATURE,
)
from kdrun.store.shapes import check_shape, read_shaped_lines
from kdrun.store.stages import (
    CHECKPOINTS,
    IDENTITY,
    STORE,
    SUMMARY,
    finished,
    own_digest,
    read_identity,
    stage_hash,
)
from kdrun.store.sweep_folder import SWEEP
from kdrun.teachers.cache.page_files import check_page
from kdrun.teachers.cache.quota import DESCRIPTION
from kdrun.training.checkpoint import check_checkpoint, checkpoints

SEALED = (PLAN, ENVIRONMENT, SUMMARY, ANALYSIS, CORRECT, TEMPERATURE, "sweep.json")
LINKS = "stages"


def show_verified(folder: Path) -> None:
    """Check all files below the folder and print the result.

    Raises:
        ConfigError: the folder has no files of kdrun.
        DamagedError: files fail their checksums; names all of them.
    """
    units = found(folder)
    faults = [*strange_entries(folder)]
    if not units and not faults:
        raise ConfigError(f"{folder}: contains no run, sweep, stage or cache of kdrun")
    faults += [fault for unit in units for fault in faults_of(unit)]
    if faults:
        raise DamagedError("\n".join(dict.fromkeys(faults)))
    files = sum(1 for unit in units for path in unit.rglob("*") if path.is_file())
    show(f"{len(units)} folders with {files} files are as they were written")


def found(folder: Path) -> list[Path]:
    """Return runs, sweeps, stages and caches in the folder, and the stages of the runs."""
    seen: dict[Path, Path] = {}
    for place, _, names in os.walk(folder):
        if {CONFIG, SWEEP, IDENTITY, PLAN, DESCRIPTION} & set(names):
            path = Path(place)
            seen.setdefault(path.resolve(), path)
    for path in list(seen.values()):
        for link in sorted((path / LINKS).glob("*")):
            if proper_link(link) and link.is_dir():
                seen.setdefault(link.resolve(), link.resolve())
    return sorted(path for path in seen.values() if not _aside(path))


def _aside(path: Path) -> bool:
    return any(part.startswith("damaged-") for part in path.parts[-3:])


def strange_entries(folder: Path) -> Iterator[str]:
    """Yield errors for links other than a run's to its stages, and for special files."""
    for place, folders, names in os.walk(folder):
        for path in (Path(place, name) for name in sorted([*folders, *names])):
            if path.is_symlink():
                if not proper_link(path):
                    yield f"{path} is a link; kdrun makes no link there"
            else:
                yield from _fault(partial(refuse_special, path))


def proper_link(path: Path) -> bool:
    """Whether a link is a run's relative link to a stage in a store."""
    if not path.is_symlink() or path.parent.name != LINKS:
        return False
    return not path.readlink().is_absolute() and path.resolve().parent.name == STORE


def faults_of(folder: Path) -> Iterator[str]:
    """Yield the faults of one run, sweep, stage or cache."""
    of_stage = (folder / IDENTITY).exists()
    yield from _unreadable(folder, of_stage)
    if of_stage:
        yield from _misplaced(folder)
        yield from _fault(lambda: finished(folder, own_digest(folder)))
    elif (folder / CONFIG).exists() or (folder / PLAN).exists():
        yield from run_faults(folder)
    if (folder / DESCRIPTION).exists():
        yield from cache_faults(folder)
    if (folder / SWEEP).exists():
        yield from sweep_faults(folder)
    for path in checkpoints(folder / CHECKPOINTS):
        yield from _fault(partial(check_checkpoint, path))


def run_faults(folder: Path) -> Iterator[str]:
    """Yield the faults of a run as a whole: checksums, figures, stages, analysis."""
    for link in sorted((folder / LINKS).glob("*")):
        if not link.exists():
            yield f"{link} points to a missing stage"
    hashes: list[str | None] = []
    stages: list[dict[str, Any]] = []
    try:
        if (folder / SUMMARY).exists():
            summary = read_summary(folder)
            stages = summary["stages"]
            hashes = [stage.get("hash") for stage in stages]
            yield from _fault(partial(check_figures, folder, summary))
            yield from _fault(partial(read_metrics, folder, summary))
            read_analysis(folder, summary)
        elif (folder / PLAN).exists():
            hashes = planned_hashes(folder)
    except DamagedError as error:
        yield str(error)
    for place, digest in enumerate(hashes):
        yield from _fault(partial(linked_stage, folder, place, digest))
    yield from missing_stages(folder, stages)


def missing_stages(folder: Path, stages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the stages of a finished run without any entry in its folder."""
    for place, stage in enumerate(stages):
        if not any((folder / LINKS).glob(f"{place:02}-*")):
            yield f"{folder}: the stage of {stage['role']} {stage['arch']} is missing in {LINKS}/"


def sweep_faults(folder: Path) -> Iterator[str]:
    """Yield the jobs of a sweep with the run of another job in their folders."""
    try:
        yield from (f"{job}: {error}" for job, error in foreign_jobs(folder).items())
    except DamagedError as error:
        yield str(error)


def cache_faults(folder: Path) -> Iterator[str]:
    """Yield the faults of stored teacher outputs."""
    try:
        if stage_hash(read_json(folder / DESCRIPTION)) != folder.resolve().name:
            yield f"{folder / DESCRIPTION} is damaged: it is not what the folder is named after"
    except DamagedError:
        pass  # reported already
    for seal in sorted(folder.glob("[0-9]*.json")):
        yield from _fault(partial(check_page, seal))


def _unreadable(folder: Path, of_stage: bool) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if not path.is_symlink():
            yield from _fault(partial(_read, path, of_stage))


def _read(path: Path, of_stage: bool) -> None:
    """Read a file by the format of its name."""
    if path.name == METRICS:
        read_shaped_lines(path, EPOCH if of_stage else METRIC)
    elif path.suffix == ".jsonl":
        read_json_lines(path)
    elif path.suffix == ".yaml":
        read_yaml(path)
    elif path.suffix == ".json":
        content = read_sealed(path) if path.name in SEALED else read_json(path)
        shape = SWEEP_TABLE if path.name == "sweep.json" else format_of(path.name, of_stage)
        check_shape(path, content, shape)


def _misplaced(folder: Path) -> Iterator[str]:
    """Check that a stage's identity hashes to the name of its folder."""
    try:
        digest = stage_hash(read_json(folder / IDENTITY))
        read_identity(folder)
    except DamagedError:
        return  # reported already
    whole = folder.resolve()
    if whole.parent.name == STORE and digest != whole.name:
        yield f"{folder / IDENTITY} is damaged: it is not what the folder is named after"


def _fault(check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except (DamagedError, OutputError) as error:
        yield str(error)
