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
from kdrun.runs.lockstep.round_robin import HeldStop, LockstepStage, SharedBatches
from kdrun.runs.lockstep.siblings import Siblings
from kdrun.runs.plan_sizes import plan_for
from kdrun.runs.prepare import make_stage_runs
from kdrun.store.files import write_json
from kdrun.store.folders import remove_leftovers
from kdrun.store.stages import IDENTITY, finished, lock_if_free
from kdrun.teachers.recent import LastResults
from kdrun.teachers.teacher import Teacher
from kdrun.training.context import ContextBySeed, RunContext, StageRun
from kdrun.training.interleaving import Interleavable, Position
from kdrun.training.run_stage import run_stage

TOGETHER = (STUDENT, CONTROL)
"""The roles that are trained side by side."""

KEPT = 4
"""Updates whose batches are kept for those who come to them later."""


class LockstepGroup:
    """Executor and shared inputs of a job whose sweep asks for `train.lockstep`.

    Args:
        config: the job's own.
        siblings: whose students may come along.
        latch: the run's stop request.
    """

    def __init__(self, config: Config, siblings: Siblings, latch: HeldStop) -> None:
        self.config = config
        self.siblings = siblings
        self.latch = latch
        self.contexts: ContextBySeed = {}
        self.planned: dict[str, list[StageRun]] = {}
        self.size = 1
        self.stream: SharedBatches | None = None
        self.seen: LastResults[Views] = LastResults(0)
        self.most = 0

    def train(
        self,
        turns: Interleavable[Summary],
        stage_run: StageRun,
        context: RunContext,
        teachers: list[Teacher],
    ) -> Summary:
        """Do all turns of a job's stage, and those of later jobs' stages that go with it."""
        leader = LockstepStage(stage_run.title, turns)
        with ExitStack() as locks:
            together = stage_run.stage.role in TOGETHER and not stage_run.stage.train.compile
            others = self.others(stage_run, context, teachers, locks) if together else []
            if others:
                self.share(stage_run.stage.train.accumulate, teachers)
                names = ", ".join(member.title for member in others)
                context.reporter.say(f"{stage_run.title}: in lockstep with {names}")
            elif together:
                context.reporter.say(
                    f"{stage_run.title}: no later job has one to go along in lockstep"
                )
            try:
                self.size = 1 + len(others)
                self.advance([leader, *others])
            finally:
                self.size = 1
                self.share(0, teachers)
        for member in others:
            context.reporter.say(outcome(member))
        if leader.error is not None:
            raise leader.error
        assert leader.summary is not None
        return leader.summary

    def share(self, accumulate: int, teachers: Sequence[Teacher]) -> None:
        """Keep what the batches of an update gave for those who ask for it next; 0: nothing."""
        self.stream, self.most = None, KEPT * accumulate
        self.seen = LastResults(accumulate)
        for teacher in teachers:
            teacher.recent = LastResults(accumulate)

    def advance(self, members: Sequence[LockstepStage]) -> None:
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
        self, stage_run: StageRun, context: RunContext, teachers: list[Teacher], locks: ExitStack
    ) -> list[LockstepStage]:
        """The stages of later jobs that can be trained with this one; they are locked."""
        found: dict[str, LockstepStage] = {}
        for name, config in self.siblings():
            if len(found) + 1 >= self.config.train.lockstep:
                break
            other = self.match(stage_run, context, name, config)
            if other is None or other.digest in found or not taken(other, locks):
                continue
            title = f"{name}'s {other.title}"
            logged = Reporter(Console(file=StringIO()), context.reporter.log, f"{name}: ")
            quiet = replace(context, reporter=logged)
            found[other.digest] = LockstepStage(title, run_stage(other, quiet, teachers, ignore))
        return list(found.values())

    def match(
        self, stage_run: StageRun, context: RunContext, name: str, config: Config
    ) -> StageRun | None:
        """The stage of another job that can be trained with this one, if there is one."""
        try:
            if not same_setting(self.config, config, context):
                return None
        except ConfigError:
            return None  # which the other job is going to say itself
        if name not in self.planned:
            self.planned[name] = self.jobs_of(config, context)
        found = (
            one for one in self.planned[name] if side_by_side(stage_run, one) and to_be_done(one)
        )
        return next(found, None)

    def jobs_of(self, config: Config, context: RunContext) -> list[StageRun]:
        """The stages of another job; none where it fails, which it is going to say itself."""
        try:
            return make_stage_runs(plan_for(config, context.data.shape), self.contexts)
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
            self.stream = SharedBatches(epoch, start, make(), self.most)
        yield from self.stream.read(start)

    def views(self, batch: Batch, mixing: Mixing | None) -> Views:
        """The batch as the models take it; made once."""
        return self.seen.get(batch.images, lambda: Views(batch, mixing))


def in_lockstep(
    config: Config, contexts: ContextBySeed, siblings: Siblings
) -> tuple[ContextBySeed, Executor]:
    """Settings and executor of a run whose students take those of its sweep's later jobs along."""
    if config.train.lockstep == 1:
        return contexts, Alone()
    latch = HeldStop(next(iter(contexts.values())).stop)
    lockstep = LockstepGroup(config, siblings, latch)
    lockstep.contexts = {
        seed: replace(one, inputs=lockstep, stop=latch) for seed, one in contexts.items()
    }
    return lockstep.contexts, lockstep


def same_setting(ours: Config, theirs: Config, context: RunContext) -> bool:
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
        and device == context.device
        and resolve_precision(theirs.train.precision, device) == context.precision
        and not theirs.chain.stop_early
    )


def side_by_side(stage_run: StageRun, other: StageRun) -> bool:
    """Whether two stages see the same batches, and learn from the same teachers."""
    return (
        stage_run.digest != other.digest
        and stage_run.identity.get("teachers") == other.identity.get("teachers")
        and shared_options(stage_run.stage) == shared_options(other.stage)
        and not other.stage.undecided
        and not other.stage.train.compile
    )


def shared_options(stage: Stage) -> tuple[Any, ...]:
    """The options by which the batches of a stage are made."""
    train = stage.train
    drawn = (train.seed, train.batch_size, train.accumulate, train.mixup, train.cutmix)
    # The layout of given weights is no part of their identity, and changes last bits.
    return stage.role, stage.seed, stage.cache.views, train.channels_last, drawn


def taken(stage_run: StageRun, locks: ExitStack) -> bool:
    """Lock a stage and begin it, unless another process has it or its folder cannot be written."""
    try:
        lock = lock_if_free(stage_run.folder)
        if lock is None:
            return False
        locks.callback(lock.release)
        if not to_be_done(stage_run):
            return False  # another process has just done it
        remove_leftovers(stage_run.folder)
        write_json(stage_run.folder / IDENTITY, stage_run.identity)
    except KdrunError:
        return False  # which the other job is going to say itself
    return True


def to_be_done(stage_run: StageRun) -> bool:
    """Whether the store does not hold the stage; a damaged one is its own job's affair."""
    try:
        return finished(stage_run.folder, stage_run.digest) is None
    except KdrunError:
        return False


def outcome(member: LockstepStage) -> str:
    """What a person is told of a stage that went along."""
    if isinstance(member.error, Stopped):
        return f"{member.title}: stopped"
    if member.summary is None:
        return f"{member.title}: not done in lockstep ({member.error}); its job goes on with it"
    accuracy = member.summary["accuracy"]["best_validation"]
    return f"{member.title}: done" + ("" if accuracy is None else f", val {accuracy:.2%}")


def ignore(line: dict[str, Any]) -> None:
    """Nobody listens: the stage's own job tells of its epochs."""
