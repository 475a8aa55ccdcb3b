"""Measuring a finished run from its folder and the store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdrun.evaluation.analysis_file import write_analysis
from kdrun.evaluation.run_predictions import RunAnswers
from kdrun.runs.finished_run import finished_jobs
from kdrun.store.run_folder import ANALYSIS


def analyze_run(folder: Path, level: str, changes: Mapping[str, Any] | None = None) -> Path:
    """Measure a finished run; returns the file written. Raises what `finished_jobs` does.

    Args:
        folder: the run's.
        level: `basic` or `full`.
        changes: as of `finished_jobs`.
    """
    with finished_jobs(folder, changes) as (jobs, settings):
        next(iter(settings.values())).reporter.say(
            f"measuring {', '.join(job.title for job in jobs)}"
        )
        write_analysis(folder, RunAnswers(jobs, settings), level)
    return folder / ANALYSIS
