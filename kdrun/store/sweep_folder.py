"""The folder of a sweep: its jobs, planned and begun."""

from collections.abc import Sequence
from pathlib import Path

from kdrun.errors import DamagedError
from kdrun.store.files import read_yaml, write_yaml
from kdrun.store.run_folder import OVERRIDES

SWEEP = "sweep.yaml"


def begin_sweep(folder: Path, overrides: Sequence[str], jobs: list[list[str]] | None) -> None:
    """Note what the sweep is, so that it can be resumed.

    Args:
        folder: the sweep's.
        overrides: as given on the command line.
        jobs: the overrides of every job, or None where the sweeper chooses as it goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(folder / SWEEP, {"format": 1, "overrides": list(overrides), "jobs": jobs})


def listed_jobs(folder: Path) -> dict[str, list[str]] | None:
    """The overrides of every job by the name of its folder; None where the sweeper chose them.

    Raises:
        DamagedError: the sweep's notes cannot be read.
    """
    notes = read_yaml(folder / SWEEP)
    if not isinstance(notes, dict) or not isinstance(notes.get("jobs"), list | None):
        raise DamagedError(f"{folder / SWEEP} is damaged: it lists no jobs")
    if notes.get("jobs") is None:
        return None
    return {str(number): list(map(str, job)) for number, job in enumerate(notes["jobs"])}


def begun_jobs(folder: Path) -> dict[str, list[str]]:
    """The overrides of every job that has a folder."""
    found = sorted(folder.glob(f"*/{OVERRIDES}"), key=lambda path: path.parent.name.zfill(9))
    return {path.parent.name: list(map(str, read_yaml(path))) for path in found}
