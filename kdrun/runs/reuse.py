"""Reuse of finished stages from the store, and training of missing ones."""

from collections.abc import Callable, Sequence
from typing import Any

from kdrun.config.loss_mixture import mixture
from kdrun.errors import DamagedError, MisplacedError, Stopped
from kdrun.runs.executor import Executor
from kdrun.runs.torch_errors import translate
from kdrun.store.files import read_json_lines, write_json
from kdrun.store.folders import remove_leftovers
from kdrun.store.stages import IDENTITY, METRICS, finished, locked, set_aside
from kdrun.training.context import RunContext, StageRun
from kdrun.training.nonfinite import check_skipped
from kdrun.training.trainer import Record


def reuse_or_train(
    stage_run: StageRun,
    teachers: Sequence[StageRun],
    context: RunContext,
    record: Record,
    executor: Executor,
    begin: Callable[[], None] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Return the summary of the stage, and whether the stage was in the store.

    Args:
        record: takes the metrics of each epoch, also of a reused stage.
        executor: trains the stage.
        begin: called before training.
    """
    with locked(stage_run.folder, waiting_line(stage_run, context)):
        summary = reuse(stage_run, context, record)
        if summary is not None:
            return summary, True
        if begin is not None:
            begin()
        return train(stage_run, teachers, context, record, executor), False


def reuse(stage_run: StageRun, context: RunContext, record: Record) -> dict[str, Any] | None:
    """Return the summary of the stage if in the store, else None; record its metrics again."""
    summary = finished_and_intact(stage_run, context)
    if summary is None:
        return None
    check_skipped(stage_run, summary.get("skipped", 0))
    context.reporter.say(f"{stage_run.title}: reused from {stage_run.folder}")
    for line in read_json_lines(stage_run.folder / METRICS):
        record(line)
    return summary


def train(
    stage_run: StageRun,
    teachers: Sequence[StageRun],
    context: RunContext,
    record: Record,
    executor: Executor,
) -> dict[str, Any]:
    """Train the stage, from its last checkpoint if any; return its summary.

    Raises:
        ConfigError: an operation has no deterministic implementation.
        NumericError: the memory does not suffice.
    """
    context.reporter.say(f"{stage_run.title}: {objective_line(stage_run)}")
    remove_leftovers(stage_run.folder)
    write_json(stage_run.folder / IDENTITY, stage_run.identity)
    try:
        return executor.train(stage_run, teachers, context, record)
    except RuntimeError as error:
        translated = translate(error, stage_run.title)
        if translated is None:
            raise
        raise translated from error


def finished_and_intact(stage_run: StageRun, context: RunContext) -> dict[str, Any] | None:
    """Return the summary of a finished, intact stage, else None; move a damaged one aside."""
    try:
        return finished(stage_run.folder, stage_run.digest)
    except DamagedError as error:
        aside = set_aside(stage_run.folder, checkpoints=isinstance(error, MisplacedError))
        context.reporter.say(
            f"{error}; moved to {aside}, {stage_run.title} is trained again", "yellow"
        )
        return None


def objective_line(stage_run: StageRun) -> str:
    """Return a line on the objective of the stage."""
    if stage_run.stage.pretrained:
        return f"weights {stage_run.stage.model.weights}, evaluated first"
    return f"minimises {mixture(stage_run.stage.loss)}"


def waiting_line(stage_run: StageRun, context: RunContext) -> Callable[[], None]:
    """Return the callback that runs once a second while another process holds the stage's lock."""
    said: list[bool] = []

    def waiting() -> None:
        if not said:
            context.reporter.say(
                f"{stage_run.title}: waiting for another process that trains this stage"
            )
            said.append(True)
        if context.stop:
            raise Stopped(f"stopped while waiting for {stage_run.title}")

    return waiting
