"""Resuming of a run in its folder, with an identical result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdrun.config.schema import Config
from kdrun.errors import ConfigError, DamagedError
from kdrun.escaping import show
from kdrun.evaluation.analysis_file import write_analysis
from kdrun.evaluation.run_predictions import RunPredictions
from kdrun.loggers.console import Reporter
from kdrun.loggers.sinks import check_logger
from kdrun.loggers.tables import console
from kdrun.plan.stage import TEACHER, Stage
from kdrun.report.checked_figures import check_figures
from kdrun.report.checked_metrics import read_metrics
from kdrun.report.diagnosis import diagnose_folder
from kdrun.report.findings import verdict
from kdrun.runs.cpu_load import Watch
from kdrun.runs.data_warnings import data_notes
from kdrun.runs.finish import measure, result_tables, unmeasured, write_page
from kdrun.runs.finished_run import check_finished, finished_stages
from kdrun.runs.lockstep.group import make_executor
from kdrun.runs.lockstep.siblings import Siblings, no_siblings
from kdrun.runs.prepare import make_stage_run
from kdrun.runs.rebuild import changed_config, rebuilt
from kdrun.runs.reopen import INTENT, finish_reopening, refuse_copied_stages, reopen
from kdrun.runs.resume_overrides import EPOCHS, checked_overrides
from kdrun.runs.runner import resumable, run_plan
from kdrun.runs.saved_run import SavedRun, read_run
from kdrun.runs.temperature_selection import apply_recorded
from kdrun.signals import StopRequest, stop_requests
from kdrun.store.files import write_atomic
from kdrun.store.finished_runs import linked_stage, read_summary
from kdrun.store.folders import make_folder, refuse_hard_link
from kdrun.store.regular_files import read_regular
from kdrun.store.run_folder import LOG, SUMMARY, Status, occupied
from kdrun.store.stages import CHECKPOINTS, finished, own_digest
from kdrun.training import checkpoint
from kdrun.training.context import ContextBySeed, StageRun


def resume_run(
    folder: Path, overrides: Sequence[str], siblings: Siblings = no_siblings
) -> dict[str, Any]:
    """Resume the run in the folder; return its summary.

    Args:
        folder: folder of the run.
        overrides: `key=value` of settings that may change.
        siblings: later jobs of the run's sweep.

    Raises:
        ConfigError: no run is there, or an override would change trained stages.
        DamagedError: a file of the run fails its checksum.
    """
    changes = checked_overrides(overrides)
    read_run(folder)  # first, so that other folders get no lock
    with stop_requests() as stop, occupied(folder):
        if (folder / INTENT).exists():
            refuse_copied_stages(folder)
        finish_reopening(folder)
        saved = read_run(folder)
        config = changed_config(folder, saved, changes)
        raised = EPOCHS in changes and raise_allowed(config, saved)
        if (folder / SUMMARY).exists() and not raised:
            return show_finished(folder, config, saved, stop)
        return go_on(folder, config, saved, raised, stop, siblings)


def raised_in(folder: Path, changes: dict[str, Any]) -> bool:
    """Whether the changes raise the epochs of the run in the folder.

    Raises:
        ConfigError: the changes are not allowed.
        DamagedError: a file of the run fails its checksum.
        OutputError: stages of the run are copies.
    """
    saved = read_run(folder)
    config = changed_config(folder, saved, changes)
    raised = EPOCHS in changes and raise_allowed(config, saved)
    if raised:
        refuse_copied_stages(folder)
    return raised


def go_on(
    folder: Path,
    config: Config,
    saved: SavedRun,
    raised: bool,
    stop: StopRequest,
    siblings: Siblings,
) -> dict[str, Any]:
    """Rebuild the state of the run and do the rest, with more epochs if raised.

    Raises:
        OutputError: stages of the run are copies, or its log is hard-linked elsewhere.
    """
    refuse_copied_stages(folder)
    refuse_hard_link(folder / LOG)
    check_logger(config.logger)
    watch = Watch()
    stage_runs, contexts = rebuilt(config, saved, stop)
    context = next(iter(contexts.values()))
    if raised:
        stage_runs = extended(
            apply_recorded(stage_runs, contexts, folder), contexts, config.train.epochs
        )
        reopen(folder, config, stage_runs)
    context.reporter.log = folder / LOG
    context.reporter.say(f"resuming {folder} on {context.device}, {context.precision}")
    for line in [*data_notes(contexts), *watch.advice(context.device)]:
        context.reporter.say(line, style="yellow")
    executor = make_executor(config, contexts, siblings)
    return run_plan(config, stage_runs, contexts, folder, Status(folder, saved.trained), executor)


def show_finished(
    folder: Path, config: Config, saved: SavedRun, stop: StopRequest
) -> dict[str, Any]:
    """Show the result of a finished run; measure it and write its page if a kill prevented that.

    Raises:
        DamagedError: a file of the run or of its stages fails its checksum.
    """
    try:
        summary = read_summary(folder)
        check_figures(folder, summary)
        read_metrics(folder, summary)
        check_linked(folder, summary)
    except DamagedError as error:
        remedy = f"remove {folder / SUMMARY} and resume to redo damaged parts"
        raise DamagedError(f"{error}; {remedy}") from error
    for table in result_tables(summary):
        console().print(table)
    for line in [*verdict(summary), *diagnose_folder(folder, summary)]:
        show(line)
    status = Status(folder, saved.trained)
    if unmeasured(config, folder) or not status.done:
        with status.kept(), resumable(folder):
            complete(folder, config, saved, stop)
    show(f"{folder} was already finished")
    return summary


def complete(folder: Path, config: Config, saved: SavedRun, stop: StopRequest) -> None:
    """Measure a finished run unless it is measured, and write its page."""

    def work() -> None:
        stage_runs, contexts = finished_stages(folder, config, saved, stop)
        check_finished(stage_runs)
        write_analysis(folder, RunPredictions(stage_runs, contexts), config.analysis)

    reporter = Reporter(console(), folder / LOG)
    with reporter.hearing():
        if unmeasured(config, folder):
            measure(folder, config.analysis, reporter, work)
        write_page(config, folder, reporter)


def check_linked(folder: Path, summary: Mapping[str, Any]) -> None:
    """Check that the links of a finished run point to its stages, and that these are intact.

    Raises:
        DamagedError: a link or a stage is wrong.
    """
    for place, stage in enumerate(summary["stages"]):
        target = linked_stage(folder, place, stage.get("hash"))
        if target is None:
            show(f"{folder}: {stage['role']} {stage['arch']} is no longer in stages/")
        else:
            finished(target, stage.get("hash") or own_digest(target))


def raise_allowed(config: Config, saved: SavedRun) -> bool:
    """Whether the epochs of the run are raised.

    Raises:
        ConfigError: the epochs are lowered, or stages have their own epochs.
    """
    before, epochs = max(stage["epochs"] for stage in saved.stages), config.train.epochs
    chain = config.chain
    if chain.method != "none" or chain.stage:
        raise ConfigError(
            f"{EPOCHS}: cannot be raised for a chain or for stages with their own options; "
            "start a new run, which reuses unchanged stages"
        )
    if epochs < before:
        raise ConfigError(f"{EPOCHS}={epochs}: may only be raised, from {before}")
    return epochs > before


def extended(stage_runs: list[StageRun], contexts: ContextBySeed, epochs: int) -> list[StageRun]:
    """Return the stages with more epochs, each continued from its state; keep finished teachers.

    Rates and temperatures follow the new length. The result differs from a run with as many epochs
    from its start, so such a stage has a separate hash.
    """
    longer: list[StageRun] = []
    for stage_run in stage_runs:
        stays = (
            stage_run.stage.role == TEACHER
            and finished(stage_run.folder, stage_run.digest) is not None
        )
        if stage_run.stage.pretrained or stays:
            longer.append(stage_run)
            continue
        state, _ = checkpoint.load_newest(stage_run.folder / CHECKPOINTS, stage_run.digest)
        train = replace(stage_run.stage.train, epochs=epochs)
        origin = stage_run.stage.origin if state is None else (stage_run.digest, state["update"])
        stage: Stage = replace(stage_run.stage, train=train, origin=origin)
        new = make_stage_run(stage, longer, contexts[stage.seed])
        if state is not None and finished(new.folder, new.digest) is None:
            carry_over(stage_run, new, state)
        longer.append(new)
    return longer


def carry_over(old: StageRun, new: StageRun, state: dict[str, Any]) -> None:
    """Copy the checkpoint of a stage to its continuation."""
    target = make_folder(new.folder / CHECKPOINTS, new.folder.parent.parent)
    if checkpoint.checkpoints(target):
        return  # already continued from there
    if state["best"] is not None:
        update = state["best"]["update"]
        best = checkpoint.best_path(old.folder / CHECKPOINTS, update)
        write_atomic(checkpoint.best_path(target, update), read_regular(best))
    checkpoint.write_checkpoint(target, state, new.digest)
