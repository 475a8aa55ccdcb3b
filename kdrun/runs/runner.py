"""Run the plan: reuse finished stages, train the others, write the results."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from kdrun.config.loss_mixture import mixture
from kdrun.config.parse import flat
from kdrun.config.schema import Config
from kdrun.config.unused_settings import idle_lines
from kdrun.errors import ConfigError, DamagedError, MisplacedError, NumericError, Stopped, reason
from kdrun.loggers.sinks import check_logger, tracking
from kdrun.plan.stage import placed_label, stage_label
from kdrun.plan.warnings import plan_warnings
from kdrun.runs.born_again import without_useless
from kdrun.runs.cpu_load import Watch
from kdrun.runs.data_warnings import data_notes, older_stage_lines, teacher_split_lines
from kdrun.runs.executor import Executor
from kdrun.runs.finish import close
from kdrun.runs.lockstep.group import in_lockstep
from kdrun.runs.lockstep.siblings import Siblings, no_siblings
from kdrun.runs.plan_sizes import chosen_chain, plan_for
from kdrun.runs.prepare import make_jobs, make_settings, opening_line
from kdrun.runs.run_record import link_stage, write_run_files
from kdrun.runs.temperature_selection import with_temperature
from kdrun.signals import stop_requests
from kdrun.store.files import (
    append_json_line,
    read_json_lines,
    write_json,
    write_json_lines,
)
from kdrun.store.folders import remove_leftovers
from kdrun.store.run_folder import LOG, METRICS, Status, new_run_folder, occupied, refuse_existing
from kdrun.store.stages import IDENTITY, finished, locked, make_store, set_aside
from kdrun.teachers.acceptance import (
    certainty_warnings,
    check_accuracy,
    check_class_order,
    least_accuracy,
)
from kdrun.training.context import Job, Setting, Settings
from kdrun.training.nonfinite import check_skipped
from kdrun.training.run_stage import run_stage
from kdrun.training.teacher_outputs import load_teacher


def run(
    config: Config, folder: Path | None, overrides: Sequence[str], siblings: Siblings = no_siblings
) -> dict[str, Any]:
    """Do all that the config asks for; returns the run's summary.

    Everything a user can get wrong is checked before the first folder is made.

    Args:
        folder: the run's folder, or None for a new one below `config.output_root`.
        overrides: the command line's, for the record.
        siblings: the later jobs of a sweep, whose students train.lockstep takes along.
    """
    check_logger(config.logger)
    watch = Watch()
    with stop_requests() as stop:
        settings = make_settings(config, stop)
        setting = next(iter(settings.values()))
        root = Path(config.output_root)
        jobs = make_jobs(plan_for(config, setting.data.shape), settings)
        pair = f"{jobs[0].stage.model.arch}-{config.student.arch}"
        folder = folder or new_run_folder(root, setting.data.name, pair)
        with occupied(folder):
            refuse_existing(folder)
            make_store(root)
            write_run_files(folder, config, overrides, setting, jobs)
            setting.reporter.log = folder / LOG
            setting.reporter.say(opening_line(setting, folder))
            if config.chain.method == "auto":
                setting.reporter.say(chosen_chain([job.stage for job in jobs]))
            told = [*idle_lines(config, overrides), *warnings_of(jobs, settings)]
            for line in [*told, *watch.advice(setting.device)]:
                setting.reporter.say(line, style="yellow")
            settings, executor = in_lockstep(config, settings, siblings)
            return conduct(config, jobs, settings, folder, Status(folder), executor)


def warnings_of(jobs: Sequence[Job], settings: Settings) -> list[str]:
    """What is hardly meant of the plan, and teachers that may know the validation images."""
    stages, parameters = [job.stage for job in jobs], [job.parameters for job in jobs]
    shape = next(iter(settings.values())).data.shape
    return [
        *data_notes(settings),
        *plan_warnings(stages, parameters, shape),
        *teacher_split_lines(jobs, settings),
        *older_stage_lines(jobs, settings),
    ]


def conduct(
    config: Config,
    jobs: list[Job],
    settings: Settings,
    folder: Path,
    status: Status,
    executor: Executor,
) -> dict[str, Any]:
    """Do what is left of the stages in order, keeping the status; returns the run's summary."""
    reporter = next(iter(settings.values())).reporter
    with status.kept(), reporter.hearing():
        write_json_lines(folder / METRICS, [])  # every stage says again what it has done
        try:
            with tracking(config.logger, folder, flat(config), reporter.say) as track:
                tracked = {seed: replace(one, track=track) for seed, one in settings.items()}
                return walk(config, jobs, tracked, folder, status, executor)
        except Stopped as error:
            raise Stopped(f"{error}; 'kdrun resume {folder}' goes on from there") from error


def walk(
    config: Config,
    jobs: list[Job],
    settings: Settings,
    folder: Path,
    status: Status,
    executor: Executor,
) -> dict[str, Any]:
    """Do the stages in order; write and show the run's summary."""
    stages: list[dict[str, Any]] = []
    while len(stages) < len(jobs):
        if jobs[len(stages)].stage.undecided:
            jobs = decide(config, jobs, len(stages), settings, folder, executor)
        job = jobs[len(stages)]
        setting = settings[job.stage.seed]
        teachers = [jobs[i] for i in job.stage.teachers]
        summary, reused = do_stage(len(stages), job, teachers, setting, folder, status, executor)
        stages.append(stage_label(job.stage) | {"reused": reused} | summary)
        if job.stage.step == 0:
            check_teacher(config, job, summary, setting)
        if config.chain.stop_early and len(stages) < len(jobs):
            jobs = without_useless(jobs, stages, settings)
    return close(config, jobs, stages, settings, folder)


def decide(
    config: Config,
    jobs: list[Job],
    position: int,
    settings: Settings,
    folder: Path,
    executor: Executor,
) -> list[Job]:
    """The jobs with the T of the stage at `position` chosen; pilots are stages of the store."""
    setting = settings[jobs[position].stage.seed]

    def train(job: Job, teachers: Sequence[Job]) -> dict[str, Any]:
        return taken_or_trained(job, teachers, setting, lambda line: None, lambda: None, executor)[
            0
        ]

    return with_temperature(config, jobs, position, settings, folder, train)


def do_stage(
    position: int,
    job: Job,
    teachers: list[Job],
    setting: Setting,
    folder: Path,
    status: Status,
    executor: Executor,
) -> tuple[dict[str, Any], bool]:
    """Do one stage unless the store holds it; returns its summary and whether it did."""
    label = placed_label(position, job.stage)

    def record(line: dict[str, Any]) -> None:
        append_json_line(folder / METRICS, label | line)
        setting.track(label | line)

    link_stage(folder / "stages" / f"{position:02}-{job.stage.name}", job.folder)
    begin = partial(status.training, position)
    summary, found = taken_or_trained(job, teachers, setting, record, begin, executor)
    return summary, found and position not in status.trained


def taken_or_trained(
    job: Job,
    teachers: Sequence[Job],
    setting: Setting,
    record: Callable[[dict[str, Any]], None],
    begin: Callable[[], None],
    executor: Executor,
) -> tuple[dict[str, Any], bool]:
    """The summary of the stage, and whether the store held it.

    Args:
        record: takes a line of metrics for each epoch, also of a stage that the store held.
        begin: called before the stage is trained.
    """
    with locked(job.folder, waiting_line(job, setting)):
        summary = verified(job, setting)
        if summary is not None:
            check_skipped(job, summary.get("skipped", 0))
            setting.reporter.say(f"{job.title}: done before, taken from {job.folder}")
            for line in read_json_lines(job.folder / METRICS):
                record(line)
            return summary, True
        begin()
        setting.reporter.say(f"{job.title}: {objective_line(job)}")
        remove_leftovers(job.folder)
        write_json(job.folder / IDENTITY, job.identity)
        try:
            loaded = [load_teacher(teacher, setting) for teacher in teachers]
            turns = run_stage(job, setting, loaded, record)
            return executor.train(turns, job, setting, loaded), False
        except RuntimeError as error:
            told = reason(error)
            if "does not have a deterministic implementation" in told:
                raise ConfigError(f"train.deterministic: {job.title}: {told}") from error
            # The CPU's allocator has no exception of its own.
            if not isinstance(error, torch.OutOfMemoryError) and "allocate" not in str(error):
                raise
            raise NumericError(f"{job.title}: {told} Try a smaller train.batch_size") from error


def verified(job: Job, setting: Setting) -> dict[str, Any] | None:
    """The summary of the stage if it is finished and whole; what is damaged is set aside."""
    try:
        return finished(job.folder, job.digest)
    except DamagedError as error:
        aside = set_aside(job.folder, checkpoints=isinstance(error, MisplacedError))
        setting.reporter.say(f"{error}; moved to {aside}, {job.title} is done again", "yellow")
        return None


def objective_line(job: Job) -> str:
    """What the stage is about to do."""
    if job.stage.pretrained:
        return f"weights {job.stage.model.weights}, evaluated first"
    return f"minimises {mixture(job.stage.loss)}"


def check_teacher(config: Config, job: Job, summary: dict[str, Any], setting: Setting) -> None:
    """Refuse a teacher of another class order, below `teacher.min_accuracy`, or near chance."""
    held_out = setting.data.validation or setting.data.train
    least = config.teacher.min_accuracy
    least = least_accuracy(held_out.labels) if least is None else least
    accuracy = summary["accuracy"]
    images = "training" if accuracy["best_validation"] is None else "validation"
    reached = accuracy["train" if images == "training" else "best_validation"]
    arch, given = job.stage.model.arch, job.stage.pretrained
    check_class_order(arch, summary.get("class_order"), setting.data.class_names)
    check_accuracy(arch, reached, least, images, given)
    for line in certainty_warnings(job.title, summary.get("certainty"), given):
        setting.reporter.say(line, style="yellow")


def waiting_line(job: Job, setting: Setting) -> Callable[[], None]:
    """What to do, once a second, while another process holds the stage's lock."""
    said: list[bool] = []

    def waiting() -> None:
        if not said:
            setting.reporter.say(f"{job.title}: another process is training it; waiting for it")
            said.append(True)
        if setting.stop:
            raise Stopped(f"stopped while waiting for {job.title}")

    return waiting
