"""`kdrun analyze`: measure a finished run from its folder and the store."""

from pathlib import Path

from kdrun.measurement.content import write_analysis
from kdrun.measurement.run_answers import RunAnswers
from kdrun.run_folder import ANALYSIS
from kdrun.saved_jobs import finished_jobs


def analyze_run(folder: Path, level: str) -> Path:
    """Measure a finished run; returns the file written. Raises what `finished_jobs` does."""
    with finished_jobs(folder) as (jobs, settings):
        next(iter(settings.values())).reporter.say(
            f"measuring {', '.join(job.title for job in jobs)}"
        )
        write_analysis(folder, RunAnswers(jobs, settings), level)
    return folder / ANALYSIS
