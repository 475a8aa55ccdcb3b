"""The group of students in lockstep: found among later jobs, trained update by update.

Each does what it would do by itself, update by update in turns, so that its result is the same to
the last bit. What they share are the batches, the normalised images and the teacher's answers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from kdrun.config.schema import Config
from kdrun.data.batch import Batch
from kdrun.data.batch_views import Views
from kdrun.data.mixing import Mixing
from kdrun.device import resolve_device, resolve_precision
from kdrun.errors import ConfigError, KdrunError, Stopped
from kdrun.loggers.console import Reporter
from kdrun.plan.stage import CONTROL, STUDENT, Stage
from kdrun.runs.executor import Alone, Executor, Summary
from kdrun.runs.lockstep.round_robin import Latch, Member, Stream
from kdrun.runs.lockstep.siblings import Siblings
from kdrun.runs.plan_sizes import plan_for
from kdrun.runs.prepare import make_jobs
from kdrun.store.files import write_json
from kdrun.store.folders import remove_leftovers
from kdrun.store.stages import IDENTITY, finished, lock_if_free
from kdrun.teachers.recent import Recent
from kdrun.teachers.teacher import Teacher
from kdrun.training.context import Job, Setting, Settings
from kdrun.training.interleaving import Position, Turns
from kdrun.training.run_stage import run_stage

TOGETHER = (STUDENT, CONTROL)
"""The roles that are trained side by side."""

KEPT = 4
"""Updates whose batches are kept for those who come to them later."""


class Lockstep:
    """Executor and shared inputs of a job whose sweep asks for `train.lockstep`.

    Args:
        config: the job's own.
        siblings: whose students may come along.
        latch: the run's stop request.
    """

    def __init__(self, config: Config, siblings: Siblings, latch: Latch) -> None:
        self.config = config
        self.siblings = siblings
        self.latch = latch
        self.settings: Settings = {}
        self.planned: dict[str, list[Job]] = {}
        self.size = 1
        self.stream: Stream | None = None
        self.seen: Recent[Views] = Recent(0)
        self.most = 0

    def train(
        self, turns: Turns[Summary], job: Job, setting: Setting, teachers: list[Teacher]
    ) -> Summary:
        """Do all turns of a job's stage, and those of later jobs' stages that go with it."""
        leader = Member(job.title, turns)
        with ExitStack() as locks:
            together = job.stage.role in TOGETHER and not job.stage.train.compile
            others = self.others(job, setting, teachers, locks) if together else []
            if others:
                self.share(job.stage.train.accumulate, teachers)
                names = ", ".join(member.title for member in others)
                setting.reporter.say(f"{job.title}: in lockstep with {names}")
            elif together:
                setting.reporter.say(f"{job.title}: no later job has one to go along in lockstep")
            try:
                self.size = 1 + len(others)
                self.advance([leader, *others])
            finally:
                self.size = 1
                self.share(0, teachers)
        for member in others:
            setting.reporter.say(outcome(member))
        if leader.error is not None:
            raise leader.error
        assert leader.summary is not None
        return leader.summary

    def share(self, accumulate: int, teachers: Sequence[Teacher]) -> None:
        """Keep what the batches of an update gave for those who ask for it next; 0: nothing."""
        self.stream, self.most = None, KEPT * accumulate
        self.seen = Recent(accumulate)
        for teacher in teachers:
            teacher.recent = Recent(accumulate)

    def advance(self, members: Sequence[Member]) -> None:
        """Do turns until all are done; who is behind goes first."""
        try:
            while waiting := [one.position for one in members if one.position is not None]:
                self.latch.held = self.latch.asked
                for member in members:
                    if member.position == min(waiting):
                        member.step()
        finally:
            self.latch.held = None

    def others(
        self, job: Job, setting: Setting, teachers: list[Teacher], locks: ExitStack
    ) -> list[Member]:
        """The stages of later jobs that can be trained with this one; they are locked."""
        found: dict[str, Member] = {}
        for name, config in self.siblings():
            if len(found) + 1 >= self.config.train.lockstep:
                break
            other = self.match(job, setting, name, config)
            if other is None or other.digest in found or not taken(other, locks):
                continue
            title = f"{name}'s {other.title}"
            logged = Reporter(Console(file=StringIO()), setting.reporter.log, f"{name}: ")
            quiet = replace(setting, reporter=logged, track=ignore)
            found[other.digest] = Member(title, run_stage(other, quiet, teachers, ignore))
        return list(found.values())

    def match(self, job: Job, setting: Setting, name: str, config: Config) -> Job | None:
        """The stage of another job that can be trained with this one, if there is one."""
        try:
            if not same_setting(self.config, config, setting):
                return None
        except ConfigError:
            return None  # which the other job is going to say itself
        if name not in self.planned:
            self.planned[name] = self.jobs_of(config, setting)
        found = (one for one in self.planned[name] if side_by_side(job, one) and to_be_done(one))
        return next(found, None)

    def jobs_of(self, config: Config, setting: Setting) -> list[Job]:
        """The stages of another job; none where it fails, which it is going to say itself."""
        try:
            return make_jobs(plan_for(config, setting.data.shape), self.settings)
        except Exception:
            return []

    def batches(self, position: Position, make: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
        """The batches of an epoch from a position on; the same to all who are there."""
        # Done when the first is asked for: those who were behind have then come up.
        epoch, start = position
        if not self.most:
            yield from make()
            return
        if self.stream is None or not self.stream.has(position):
            self.stream = Stream(epoch, start, make(), self.most)
        yield from self.stream.read(start)

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """The batch as the models take it; made once."""
        return self.seen.get(batch.images, lambda: Views(batch, mixing))


def in_lockstep(
    config: Config, settings: Settings, siblings: Siblings
) -> tuple[Settings, Executor]:
    """Settings and executor of a run whose students take those of its sweep's later jobs along."""
    if config.train.lockstep == 1:
        return settings, Alone()
    latch = Latch(next(iter(settings.values())).stop)
    lockstep = Lockstep(config, siblings, latch)
    lockstep.settings = {
        seed: replace(one, inputs=lockstep, stop=latch) for seed, one in settings.items()
    }
    return lockstep.settings, lockstep


def same_setting(ours: Config, theirs: Config, setting: Setting) -> bool:
    """Whether both have the same images, splits, device, threads and precision, and all is decided.

    Raises:
        ConfigError: there is no such device here, or it lacks their precision.
    """
    device = resolve_device(theirs.train.device)
    return (
        ours.dataset == theirs.dataset
        and (ours.seeds, ours.train.seed) == (theirs.seeds, theirs.train.seed)
        and ours.train.deterministic == theirs.train.deterministic
        and ours.train.threads == theirs.train.threads
        # Where it differs, the other job may refuse the teacher that this one takes.
        and ours.teacher.min_accuracy == theirs.teacher.min_accuracy
        and Path(ours.output_root).resolve() == Path(theirs.output_root).resolve()
        and device == setting.device
        and resolve_precision(theirs.train.precision, device) == setting.precision
        and not theirs.chain.stop_early
    )


def side_by_side(job: Job, other: Job) -> bool:
    """Whether two stages see the same batches, and learn from the same teachers."""
    return (
        job.digest != other.digest
        and job.identity.get("teachers") == other.identity.get("teachers")
        and shared_options(job.stage) == shared_options(other.stage)
        and not other.stage.undecided
        and not other.stage.train.compile
    )


def shared_options(stage: Stage) -> tuple[Any, ...]:
    """The options by which the batches of a stage are made."""
    train = stage.train
    drawn = (train.seed, train.batch_size, train.accumulate, train.mixup, train.cutmix)
    # The layout of given weights is no part of their identity, and changes last bits.
    return stage.role, stage.seed, stage.cache.views, train.channels_last, drawn


def taken(job: Job, locks: ExitStack) -> bool:
    """Lock a stage and begin it, unless another process has it or its folder cannot be written."""
    try:
        lock = lock_if_free(job.folder)
        if lock is None:
            return False
        locks.callback(lock.release)
        if not to_be_done(job):
            return False  # another process has just done it
        remove_leftovers(job.folder)
        write_json(job.folder / IDENTITY, job.identity)
    except KdrunError:
        return False  # which the other job is going to say itself
    return True


def to_be_done(job: Job) -> bool:
    """Whether the store does not hold the stage; a damaged one is its own job's affair."""
    try:
        return finished(job.folder, job.digest) is None
    except KdrunError:
        return False


def outcome(member: Member) -> str:
    """What a person is told of a stage that went along."""
    if isinstance(member.error, Stopped):
        return f"{member.title}: stopped"
    if member.summary is None:
        return f"{member.title}: not done in lockstep ({member.error}); its job goes on with it"
    accuracy = member.summary["accuracy"]["best_validation"]
    return f"{member.title}: done" + ("" if accuracy is None else f", val {accuracy:.2%}")


def ignore(line: dict[str, Any]) -> None:
    """Nobody listens: the stage's own job tells of its epochs."""
