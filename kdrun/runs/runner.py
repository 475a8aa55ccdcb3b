"""Run of a plan: reuse finished stages, train the others, write the results."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kdrun.catalog.chains import CHAIN_METHODS
from kdrun.config.parse import flat
from kdrun.config.schema import Config
from kdrun.config.unused_settings import idle_lines
from kdrun.errors import Stopped
from kdrun.loggers.sinks import check_logger, tracking
from kdrun.plan.stage import Stage, placed_label, stage_label
from kdrun.plan.warnings import plan_warnings
from kdrun.runs.born_again import stop_generations
from kdrun.runs.cpu_load import Watch
from kdrun.runs.data_warnings import (
    data_notes,
    older_stage_lines,
    teacher_split_lines,
    weights_lines,
)
from kdrun.runs.executor import Executor
from kdrun.runs.finish import close
from kdrun.runs.lockstep.group import make_executor
from kdrun.runs.lockstep.siblings import Siblings, no_siblings
from kdrun.runs.plan_sizes import chosen_chain, plan_for
from kdrun.runs.prepare import make_contexts, make_stage_run, make_stage_runs, opening_line
from kdrun.runs.reuse import reuse_or_train
from kdrun.runs.run_record import link_stage, write_run_files
from kdrun.runs.temperature_log import TemperatureLog
from kdrun.runs.temperature_selection import apply, select_temperature, teacher_of
from kdrun.signals import stop_requests
from kdrun.store.files import append_json_line, write_json_lines
from kdrun.store.run_folder import LOG, METRICS, Status, new_run_folder, occupied, refuse_existing
from kdrun.store.stages import make_store
from kdrun.teachers.acceptance import (
    certainty_warnings,
    check_accuracy,
    check_class_order,
    least_accuracy,
)
from kdrun.training.context import ContextBySeed, RunContext, StageRun
from kdrun.training.trainer import Record


def run(
    config: Config, folder: Path | None, overrides: Sequence[str], siblings: Siblings = no_siblings
) -> dict[str, Any]:
    """Execute a config; return the run's summary.

    All possible user errors are checked before the first folder is made.

    Args:
        folder: folder of the run, or None for a new one below `config.output_root`.
        overrides: overrides of the command line, for the record.
        siblings: later jobs of a sweep, for train.lockstep.
    """
    check_logger(config.logger)
    watch = Watch()
    with stop_requests() as stop:
        contexts = make_contexts(config, stop)
        context = next(iter(contexts.values()))
        root = Path(config.output_root)
        stage_runs = make_stage_runs(plan_for(config, context.data.shape), contexts)
        pair = f"{stage_runs[0].stage.model.arch}-{config.student.arch}"
        folder = folder or new_run_folder(root, context.data.name, pair)
        with occupied(folder):
            refuse_existing(folder)
            make_store(root)
            write_run_files(folder, config, overrides, context, stage_runs)
            context.reporter.log = folder / LOG
            context.reporter.say(opening_line(context, folder))
            if CHAIN_METHODS[config.chain.method].sized:
                context.reporter.say(chosen_chain([stage_run.stage for stage_run in stage_runs]))
            for line in weights_lines(stage_runs):
                context.reporter.say(line)
            lines = [*idle_lines(config, overrides), *warnings_of(stage_runs, contexts)]
            for line in [*lines, *watch.advice(context.device)]:
                context.reporter.say(line, style="yellow")
            executor = make_executor(config, contexts, siblings)
            return run_plan(config, stage_runs, contexts, folder, Status(folder), executor)


def warnings_of(stage_runs: Sequence[StageRun], contexts: ContextBySeed) -> list[str]:
    """Return warnings about the plan, and about teachers trained on validation images."""
    stages, parameters = (
        [stage_run.stage for stage_run in stage_runs],
        [stage_run.parameters for stage_run in stage_runs],
    )
    shape = next(iter(contexts.values())).data.shape
    return [
        *data_notes(contexts),
        *plan_warnings(stages, parameters, shape),
        *teacher_split_lines(stage_runs, contexts),
        *older_stage_lines(stage_runs, contexts),
    ]


@dataclass(frozen=True)
class ActiveRun:
    """A run in progress.

    Attributes:
        contexts: contexts of its stages, by seed.
        executor: trains the stages.
        track: also takes each line of `metrics.jsonl`.
    """

    config: Config
    contexts: ContextBySeed
    folder: Path
    status: Status
    executor: Executor
    track: Record


def run_plan(
    config: Config,
    stage_runs: list[StageRun],
    contexts: ContextBySeed,
    folder: Path,
    status: Status,
    executor: Executor,
) -> dict[str, Any]:
    """Run the remaining stages in order and update the status; return the run's summary."""
    reporter = next(iter(contexts.values())).reporter
    with status.kept(), reporter.hearing(), resumable(folder):
        write_json_lines(folder / METRICS, [])  # every stage records its metrics again
        with tracking(config.logger, folder, flat(config), reporter.say) as track:
            active = ActiveRun(config, contexts, folder, status, executor, track)
            return run_stages(active, stage_runs)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Add the command that continues the run to the message of a stop in the block."""
    try:
        yield
    except Stopped as error:
        raise Stopped(f"{error}; 'kdrun resume {folder}' continues from there") from error


def run_stages(active: ActiveRun, stage_runs: list[StageRun]) -> dict[str, Any]:
    """Run the stages in order; write and show the run's summary."""
    config, contexts = active.config, active.contexts
    stages: list[dict[str, Any]] = []
    while len(stages) < len(stage_runs):
        if stage_runs[len(stages)].stage.undecided:
            stage_runs = decide(active, stage_runs, len(stages))
        stage_run = stage_runs[len(stages)]
        teachers = [stage_runs[i] for i in stage_run.stage.teachers]
        summary, reused = do_stage(active, len(stages), stage_run, teachers)
        stages.append(stage_label(stage_run.stage) | {"reused": reused} | summary)
        if stage_run.stage.step == 0:
            check_teacher(config, stage_run, summary, contexts[stage_run.stage.seed])
        if config.chain.stop_early and len(stages) < len(stage_runs):
            stage_runs = stop_generations(stage_runs, stages, contexts)
    return close(config, stage_runs, stages, contexts, active.folder)


def decide(active: ActiveRun, stage_runs: list[StageRun], position: int) -> list[StageRun]:
    """Choose the T of the stage at `position`; return the new stages. Pilots go to the store."""
    stage_run = stage_runs[position]
    teacher, context = teacher_of(stage_run, stage_runs), active.contexts[stage_run.stage.seed]

    def pilot(stage: Stage) -> float:
        short = make_stage_run(stage, stage_runs, context)
        summary, _ = reuse_or_train(short, [teacher], context, discard, active.executor)
        accuracy: float = summary["accuracy"]["best_validation"]
        return accuracy

    log = TemperatureLog(active.folder)
    choice = log.find(position, stage_run, teacher)
    if choice is None:
        choice = select_temperature(active.config, stage_runs, position, context, pilot)
        log.append(choice)
    return apply(choice, stage_runs, active.contexts)


def discard(line: dict[str, Any]) -> None:
    """Discard the metrics of a pilot, which are not part of the run."""


def do_stage(
    active: ActiveRun, position: int, stage_run: StageRun, teachers: list[StageRun]
) -> tuple[dict[str, Any], bool]:
    """Run one stage unless in the store; return the summary and whether the stage was reused."""
    label, status = placed_label(position, stage_run.stage), active.status

    def record(line: dict[str, Any]) -> None:
        append_json_line(active.folder / METRICS, label | line)
        active.track(label | line)

    link_stage(active.folder / "stages" / f"{position:02}-{stage_run.stage.name}", stage_run.folder)
    context, begin = active.contexts[stage_run.stage.seed], partial(status.training, position)
    summary, held = reuse_or_train(stage_run, teachers, context, record, active.executor, begin)
    return summary, held and position not in status.trained


def check_teacher(
    config: Config, stage_run: StageRun, summary: dict[str, Any], context: RunContext
) -> None:
    """Refuse a teacher of another class order, below `teacher.min_accuracy`, or near chance."""
    held_out = context.data.validation or context.data.train
    least = config.teacher.min_accuracy
    least = least_accuracy(held_out.labels) if least is None else least
    accuracy = summary["accuracy"]
    images = "training" if accuracy["best_validation"] is None else "validation"
    reached = accuracy["train" if images == "training" else "best_validation"]
    arch, given = stage_run.stage.model.arch, stage_run.stage.pretrained
    check_class_order(arch, summary.get("class_order"), context.data.class_names)
    check_accuracy(arch, reached, least, images, given)
    for line in certainty_warnings(stage_run.title, summary.get("certainty"), given):
        context.reporter.say(line, style="yellow")
