"""Later jobs of the same sweep. Imports no torch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from pathlib import Path

from kdrun.config.parse import parse
from kdrun.config.schema import Config
from kdrun.errors import ConfigError
from kdrun.report.sweep_jobs import FOREIGN, job_state
from kdrun.store.sweep_folder import listed_jobs, sweep_of

Siblings = Callable[[], Iterator[tuple[str, Config]]]
"""Later jobs of a sweep: name for messages, and config."""


def no_siblings() -> Iterator[tuple[str, Config]]:
    """Yield nothing, for a run that is not part of a sweep."""
    return iter(())


@dataclass(frozen=True)
class LaterJobs:
    """Jobs of a sweep after a given one, composed on iteration.

    Attributes:
        job: folder of the given job.
        overrides: overrides for all jobs, in addition to their own.
        config_dir: folder with the user's own YAML.
    """

    job: Path
    overrides: Sequence[str] = ()
    config_dir: Path | None = None

    def __call__(self) -> Iterator[tuple[str, Config]]:
        """Yield name and config of unfinished jobs; a faulty job reports its error itself."""
        from kdrun.config.sweep_overrides import compose_listed  # noqa: PLC0415 - imports Hydra

        sweep = sweep_of(self.job)
        jobs = listed_jobs(sweep) or {}
        own = self.job.relative_to(sweep).as_posix()
        after = dropwhile(lambda number: number != own, jobs)
        for number in islice(after, 1, None):
            if job_state(sweep / number)["status"] in ("done", FOREIGN):
                continue
            try:
                composed = compose_listed([*jobs[number], *self.overrides], self.config_dir)
                yield f"job {number}", parse(composed)
            except ConfigError:
                continue
