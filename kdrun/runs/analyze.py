"""Measurement of a finished run from its folder and the store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdrun.evaluation.analysis_file import write_analysis
from kdrun.evaluation.run_predictions import RunPredictions
from kdrun.runs.finished_run import check_finished, finished_jobs
from kdrun.store.run_folder import ANALYSIS


def analyze_run(folder: Path, level: str, changes: Mapping[str, Any] | None = None) -> Path:
    """Measure a finished run; return the written file. Raises the errors of `finished_jobs`.

    Args:
        folder: folder of the run.
        level: `basic` or `full`.
        changes: see `finished_jobs`.
    """
    with finished_jobs(folder, changes) as (stage_runs, contexts):
        check_finished(stage_runs)
        next(iter(contexts.values())).reporter.say(
            f"measuring {', '.join(stage_run.title for stage_run in stage_runs)}"
        )
        write_analysis(folder, RunPredictions(stage_runs, contexts), level)
    return folder / ANALYSIS
