"""Resuming a run in its own folder, to the same result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kdrun.config.schema import Config
from kdrun.errors import ConfigError, DamagedError
from kdrun.escaping import show
from kdrun.loggers.console import Reporter
from kdrun.loggers.sinks import check_logger
from kdrun.loggers.tables import console
from kdrun.plan.stage import TEACHER, Stage
from kdrun.report.checked_figures import check_figures
from kdrun.report.checked_metrics import read_metrics
from kdrun.report.diagnosis import diagnose_folder
from kdrun.report.findings import verdict
from kdrun.runs.cpu_load import Watch
from kdrun.runs.data_warnings import data_notes, refuse_older
from kdrun.runs.finish import result_tables, write_page
from kdrun.runs.lockstep.group import make_executor
from kdrun.runs.lockstep.siblings import Siblings, no_siblings
from kdrun.runs.plan_sizes import plan_for
from kdrun.runs.prepare import make_contexts, make_stage_run, make_stage_runs
from kdrun.runs.reopen import INTENT, finish_reopening, refuse_copied_stages, reopen
from kdrun.runs.resume_overrides import EPOCHS, checked_overrides
from kdrun.runs.runner import run_plan
from kdrun.runs.saved_run import SavedRun, as_recorded, check_same, output_root, parsed, read_run
from kdrun.runs.temperature_selection import apply_recorded
from kdrun.signals import StopRequest, stop_requests
from kdrun.store.files import write_atomic
from kdrun.store.finished_runs import linked_stage, read_summary
from kdrun.store.folders import make_folder, refuse_hard_link
from kdrun.store.regular_files import read_regular
from kdrun.store.run_folder import CONFIG, LOG, SUMMARY, Status, occupied
from kdrun.store.stages import CHECKPOINTS, finished, own_digest
from kdrun.training import checkpoint
from kdrun.training.context import ContextBySeed, StageRun


def resume_run(
    folder: Path, overrides: Sequence[str], siblings: Siblings = no_siblings
) -> dict[str, Any]:
    """Go on with the run in the folder; returns its summary.

    Args:
        folder: the run's.
        overrides: `key=value` of what may be changed.
        siblings: the later jobs of the sweep that it is part of.

    Raises:
        ConfigError: no run is there, or an override changes what was trained so far.
        DamagedError: a file of the run is not as it was written.
    """
    changes = checked_overrides(overrides)
    read_run(folder)  # first, so that a folder that is none gets no lock
    with stop_requests() as stop, occupied(folder):
        if (folder / INTENT).exists():
            refuse_copied_stages(folder)
        finish_reopening(folder)
        saved = read_run(folder)
        config = changed_config(folder, saved, changes)
        raised = EPOCHS in changes and raise_allowed(config, saved)
        if (folder / SUMMARY).exists() and not raised:
            return show_finished(folder, config, saved)
        return go_on(folder, config, saved, raised, stop, siblings)


def raised_in(folder: Path, changes: dict[str, Any]) -> bool:
    """Whether the changes would train the run in the folder for more epochs than it was to have.

    Raises:
        ConfigError: they are no changes for it.
        DamagedError: a file of the run is not as it was written.
        OutputError: its stages are copies.
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
    """Rebuild what the run was doing and do the rest, with more epochs if they are raised.

    Raises:
        OutputError: its stages are copies, or its log is a file elsewhere too.
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
    context.reporter.say(f"going on with {folder}, on {context.device}, {context.precision}")
    for line in [*data_notes(contexts), *watch.advice(context.device)]:
        context.reporter.say(line, style="yellow")
    executor = make_executor(config, contexts, siblings)
    return run_plan(config, stage_runs, contexts, folder, Status(folder, saved.trained), executor)


def rebuilt(
    config: Config, saved: SavedRun, stop: StopRequest, remedy: str = "start a new run"
) -> tuple[list[StageRun], ContextBySeed]:
    """The run's jobs and settings as they were, in its precision and with its threads.

    Args:
        config: the run's, changed where that may be.
        saved: what its folder holds.
        stop: asked between two batches.
        remedy: what a user is told to do where they are not.

    Raises:
        DataError, WeightsError, ConfigError: what they depend on has changed.
    """
    precise = replace(config, train=replace(config.train, precision=saved.precision))
    contexts = make_contexts(precise, stop)
    torch.set_num_threads(config.train.threads or saved.threads)
    shape = next(iter(contexts.values())).data.shape
    stages = as_recorded(plan_for(precise, shape), saved.stages)
    stage_runs = make_stage_runs(stages, contexts)
    refuse_older(stage_runs, saved.stages, contexts)
    check_same(stage_runs, saved.stages, remedy)
    return stage_runs, contexts


def show_finished(folder: Path, config: Config, saved: SavedRun) -> dict[str, Any]:
    """Show the result of a finished run; write what one that was killed at its end has not.

    Raises:
        DamagedError: a file of it, or of its stages, is not as it was when the run ended.
    """
    try:
        summary = read_summary(folder)
        check_figures(folder, summary)
        read_metrics(folder, summary)
        check_linked(folder, summary)
    except DamagedError as error:
        remedy = f"remove {folder / SUMMARY} and resume, which does anew what is damaged"
        raise DamagedError(f"{error}; {remedy}") from error
    for table in result_tables(summary):
        console().print(table)
    for line in [*verdict(summary), *diagnose_folder(folder, summary)]:
        show(line)
    status = Status(folder, saved.trained)
    if not status.done:
        reporter = Reporter(console(), folder / LOG)
        write_page(config, folder, reporter)
        status.write("done")
    show(f"{folder} was done before")
    return summary


def check_linked(folder: Path, summary: Mapping[str, Any]) -> None:
    """See that the links of a finished run lead to its stages, and that these are whole.

    Raises:
        DamagedError: one is not.
    """
    for place, stage in enumerate(summary["stages"]):
        target = linked_stage(folder, place, stage.get("hash"))
        if target is not None:
            finished(target, stage.get("hash") or own_digest(target))


def changed_config(folder: Path, saved: SavedRun, changes: Mapping[str, Any]) -> Config:
    """The saved config with the changes, and the output root where it is now."""
    config = parsed(saved.config, folder / CONFIG, changes)
    if "output_root" in changes:
        return config
    return replace(config, output_root=str(output_root(folder, config)))


def raise_allowed(config: Config, saved: SavedRun) -> bool:
    """Whether the epochs are more than the run was to have.

    Raises:
        ConfigError: they are lowered, or stages have epochs of their own.
    """
    before, epochs = max(stage["epochs"] for stage in saved.stages), config.train.epochs
    chain = config.chain
    if chain.method != "none" or chain.stage:
        raise ConfigError(
            f"{EPOCHS}: cannot be raised for a chain or for stages with options of their own; "
            "start a new run, which takes from the store what is the same"
        )
    if epochs < before:
        raise ConfigError(f"{EPOCHS}={epochs}: may only be raised, from {before}")
    return epochs > before


def extended(stage_runs: list[StageRun], contexts: ContextBySeed, epochs: int) -> list[StageRun]:
    """The stages with more epochs, each going on from where it is; finished teachers stay.

    The rates and temperatures are those of the new length. The result is not that of a run which
    had so many epochs from its start, so such a stage has a hash of its own.
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
    """Give a stage the checkpoint of the one it goes on from."""
    target = make_folder(new.folder / CHECKPOINTS, new.folder.parent.parent)
    if checkpoint.checkpoints(target):
        return  # it has gone on from there already
    if state["best"] is not None:
        update = state["best"]["update"]
        best = checkpoint.best_path(old.folder / CHECKPOINTS, update)
        write_atomic(checkpoint.best_path(target, update), read_regular(best))
    checkpoint.write_checkpoint(target, state, new.digest)
