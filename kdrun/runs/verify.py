"""Verification of files against the checksums written with them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from kdrun.errors import ConfigError, DamagedError
from kdrun.store.files import check_files, read_json, read_json_lines, read_sealed, read_yaml
from kdrun.store.run_folder import ANALYSIS, CONFIG, ENVIRONMENT, PLAN, TEMPERATURE
from kdrun.store.stages import CHECKPOINTS, IDENTITY, STORE, SUMMARY, stage_hash
from kdrun.store.sweep_folder import SWEEP
from kdrun.training.checkpoint import check_checkpoint, checkpoints

READERS = {".json": read_json, ".jsonl": read_json_lines, ".yaml": read_yaml}
SEALED = (PLAN, ENVIRONMENT, SUMMARY, ANALYSIS, TEMPERATURE, "sweep.json")


def show_verified(folder: Path) -> None:
    """Print what is damaged below the folder, or that nothing is.

    Raises:
        ConfigError: the folder holds nothing of kdrun's.
        DamagedError: a file is not as it was written; every one is named.
    """
    units = list(found(folder))
    if not units:
        raise ConfigError(f"{folder}: holds no run, sweep or stage of kdrun")
    faults = [fault for unit in units for fault in faults_of(unit)]
    if faults:
        raise DamagedError("\n".join(dict.fromkeys(faults)))
    files = sum(1 for unit in units for path in unit.rglob("*") if path.is_file())
    print(f"{len(units)} folders with {files} files are as they were written")


def found(folder: Path) -> Iterator[Path]:
    """The sweep, runs and stages at and below the folder, and the stages that the runs used."""
    seen: set[Path] = set()
    for name in (CONFIG, SWEEP, IDENTITY, PLAN):
        for path in sorted(folder.rglob(name)):
            seen.add(path.parent)
            links = sorted((path.parent / "stages").glob("*"))
            seen.update(link.resolve() for link in links if link.resolve().is_dir())
    yield from sorted(path for path in seen if not path.name.startswith("damaged-"))


def faults_of(folder: Path) -> Iterator[str]:
    """What is wrong with the files of one run, sweep or stage."""
    yield from _unreadable(folder)
    if (folder / SUMMARY).exists():
        yield from _fault(partial(_check_summary, folder))
    if (folder / IDENTITY).exists():
        yield from _misplaced(folder)
    for link in sorted((folder / "stages").glob("*")):
        if not link.exists():
            yield f"{link} points to a stage that is no longer there"
    for path in checkpoints(folder / CHECKPOINTS):
        yield from _fault(partial(check_checkpoint, path))


def _unreadable(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and path.parent.name != "stages":
            yield f"{path} is a link, which kdrun does not make there"
        elif path.name in SEALED:
            yield from _fault(partial(read_sealed, path))
        elif path.suffix in READERS:
            yield from _fault(partial(READERS[path.suffix], path))


def _check_summary(folder: Path) -> None:
    check_files(folder, read_sealed(folder / SUMMARY).get("files"))


def _misplaced(folder: Path) -> Iterator[str]:
    """A stage's identity must hash to the name of its folder."""
    try:
        digest = stage_hash(read_json(folder / IDENTITY))
    except DamagedError:
        return  # told already
    if folder.resolve().parent.name == STORE and digest != folder.resolve().name:
        yield f"{folder / IDENTITY} is damaged: it is not what the folder is named after"


def _fault(check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except DamagedError as error:
        yield str(error)
