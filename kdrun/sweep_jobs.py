"""The jobs of a sweep, as its folder lists them. Imports no torch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from pathlib import Path

from kdrun.config.parse import parse
from kdrun.config.schema import Config
from kdrun.errors import ConfigError, DamagedError
from kdrun.files import read_yaml, write_yaml
from kdrun.run_folder import OVERRIDES
from kdrun.sweep_table import job_state

SWEEP = "sweep.yaml"

Siblings = Callable[[], Iterator[tuple[str, Config]]]
"""The later jobs of a sweep, by a name for messages."""


def no_siblings() -> Iterator[tuple[str, Config]]:
    """Of a run that is no part of a sweep."""
    return iter(())


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


@dataclass(frozen=True)
class LaterJobs:
    """The jobs of a sweep after one of them, composed when they are asked for.

    Attributes:
        job: folder of that one.
        overrides: for all jobs, beside their own.
        config_dir: a folder of the user's own YAML.
    """

    job: Path
    overrides: Sequence[str] = ()
    config_dir: Path | None = None

    def __call__(self) -> Iterator[tuple[str, Config]]:
        """Name and config of those that are to be done; of a faulty one its own turn tells."""
        from kdrun.config.compose import compose_job  # noqa: PLC0415 - imports Hydra

        jobs = listed_jobs(self.job.parent) or {}
        after = dropwhile(lambda number: number != self.job.name, jobs)
        for number in islice(after, 1, None):
            if job_state(self.job.parent / number)["status"] == "done":
                continue
            try:
                composed = compose_job([*jobs[number], *self.overrides], self.config_dir)
                yield f"job {number}", parse(composed)
            except ConfigError:
                continue
