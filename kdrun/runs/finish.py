"""Finish a run: summary.json, analysis, tables, report."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.config.schema import Config
from kdrun.errors import Stopped, first_line
from kdrun.evaluation.analysis_file import write_analysis
from kdrun.evaluation.chain_costs import chain_report
from kdrun.evaluation.predictions import REPORTED, SPLITS
from kdrun.evaluation.right_images import right_images
from kdrun.evaluation.run_predictions import RunPredictions
from kdrun.loggers.console import Reporter
from kdrun.report.chain_tables import chain_table, generations_table
from kdrun.report.diagnosis import diagnose_folder
from kdrun.report.findings import verdict
from kdrun.report.gains import compared_places, run_gains
from kdrun.report.result_table import closing_table, control_note
from kdrun.report.run_page import write_report
from kdrun.runs.born_again import ensemble_gains, generations_report
from kdrun.store.correct_images import Correct, write_correct
from kdrun.store.files import file_entry, strict, write_sealed
from kdrun.store.run_folder import (
    ANALYSIS,
    CONFIG,
    CORRECT,
    ENVIRONMENT,
    METRICS,
    OVERRIDES,
    PLAN,
    SUMMARY,
    TEMPERATURE,
    from_here,
)
from kdrun.training.context import ContextBySeed, StageRun


def close(
    config: Config,
    stage_runs: Sequence[StageRun],
    stages: list[dict[str, Any]],
    contexts: ContextBySeed,
    folder: Path,
) -> dict[str, Any]:
    """Write the run's summary, measure its models, and show the results."""
    context = next(iter(contexts.values()))
    summary: dict[str, Any] = {
        "format": 1,
        "status": "done",
        "dataset": config.dataset.name,
        "test_images": len(context.data.test),
        "pool": context.data.pool,
        "seed": config.seeds[0] if config.seeds else config.train.seed,
        "seeds": list(config.seeds),
        "stages": stages,
    }
    run = RunPredictions(stage_runs, contexts, REPORTED if config.analysis == "off" else SPLITS)
    if config.chain.method != "none":
        summary |= strict(whole_chain(config, run, stages))
    summary["gains"] = gains(config, run, summary, folder)
    names = [CONFIG, OVERRIDES, ENVIRONMENT, PLAN, METRICS]
    names += [name for name in (TEMPERATURE, CORRECT) if (folder / name).exists()]
    summary["files"] = {name: file_entry(folder / name) for name in names}
    # Before the analysis, which may need more memory than there is: the run is finished without.
    write_sealed(folder / SUMMARY, summary)
    show_results(folder, summary, context.reporter)
    if config.analysis != "off":
        work = partial(write_analysis, folder, run, config.analysis)
        measure(folder, config.analysis, context.reporter, work)
    write_page(config, folder, context.reporter)
    context.reporter.say(f"results: {from_here(folder)}")
    return summary


def show_results(folder: Path, summary: dict[str, Any], reporter: Reporter) -> None:
    """Show the tables, the findings and the diagnosis of a run."""
    for table in result_tables(summary):
        reporter.show(table)
    for line in verdict(summary):
        reporter.say(line)
    for line in diagnose_folder(folder, summary):
        reporter.say(line, style="yellow")


def unmeasured(config: Config, folder: Path) -> bool:
    """Whether the config asks for an analysis and the finished run has none."""
    return config.analysis != "off" and not (folder / ANALYSIS).exists()


def measure(folder: Path, level: str, reporter: Reporter, work: Callable[[], object]) -> None:
    """Measure a finished run by the work; a failure leaves the run finished.

    Args:
        folder: of the run.
        level: of the analysis, `basic` or `full`.
        reporter: of the failure, with the command that measures the run.
        work: writes the analysis.
    """
    here = from_here(folder)
    reporter.say(f"measuring the models (analysis={level}); if stopped: 'kdrun resume {here}'")
    remedy = f"; the run is finished without; 'kdrun analyze {here}' measures it"
    optional("analysis", reporter, work, remedy)


def write_page(config: Config, folder: Path, reporter: Reporter) -> None:
    """Write the report page of a run, unless its config asks for no analysis."""
    if config.analysis != "off":
        optional("report", reporter, lambda: write_report(folder))


def optional(what: str, reporter: Reporter, work: Callable[[], object], remedy: str = "") -> None:
    """Do optional work: a failure is reported with its remedy and does not fail the run."""
    try:
        work()
    except Stopped:
        raise
    except Exception as error:
        message = first_line(error)
        reporter.say(f"no {what}: {message}{remedy}", style="yellow")


def gains(
    config: Config, run: RunPredictions, summary: dict[str, Any], folder: Path
) -> list[dict[str, Any]]:
    """Return gains between the run's models; write the correctly classified images to a file."""
    reporter = next(iter(run.contexts.values())).reporter
    correct: dict[int, dict[str, Correct]] = {}
    keep = config.analysis != "off" or config.chain.method != "none"

    def record() -> None:
        correct.update(right_images(run, compared_places(summary), keep))
        write_correct(folder, correct)

    optional("record of correctly classified images", reporter, record)
    ensembles = ensemble_gains(run) if CHAIN_METHODS[config.chain.method].generations else []
    return [*run_gains(summary, correct), *ensembles]


def whole_chain(
    config: Config, run: RunPredictions, stages: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the losses over the chain's steps, and the results of generations."""
    report: dict[str, Any] = {"chain": chain_report(run)}
    if CHAIN_METHODS[config.chain.method].generations:
        report["born_again"] = generations_report(run, stages, config.chain.generations)
    return report


def result_tables(summary: dict[str, Any]) -> list[RenderableType]:
    """Return the tables shown at the end of the run."""
    tables: list[RenderableType] = [closing_table(summary)]
    if note := control_note(summary):
        tables.append(note)
    if "chain" in summary:
        tables.append(chain_table(summary["chain"]))
    if "born_again" in summary:
        tables.append(generations_table(summary))
    return tables
