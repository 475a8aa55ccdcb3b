"""Members of a lockstep group: stages of later jobs with the leader's batches."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config.schema import Config
from kdrun.device import resolve_device, resolve_precision
from kdrun.errors import ConfigError, KdrunError
from kdrun.plan.stage import Stage
from kdrun.runs.lockstep.siblings import Siblings
from kdrun.runs.plan_sizes import plan_for
from kdrun.runs.prepare import make_stage_runs
from kdrun.store.files import write_json
from kdrun.store.folders import remove_leftovers
from kdrun.store.stages import IDENTITY, finished, lock_if_free
from kdrun.training.context import ContextBySeed, RunContext, StageRun


@dataclass(frozen=True)
class Member:
    """A stage of a later job, with the job's name for messages."""

    job: str
    stage_run: StageRun

    @property
    def title(self) -> str:
        """Name in messages, such as `job 1's student resnet8`."""
        return f"{self.job}'s {self.stage_run.title}"


class LaterStages:
    """Stages of a sweep's later jobs, each job planned once.

    Args:
        config: config of the current job.
        siblings: later jobs.
        contexts: contexts of the current job's stages, by seed.
    """

    def __init__(self, config: Config, siblings: Siblings, contexts: ContextBySeed) -> None:
        self.config = config
        self.siblings = siblings
        self.contexts = contexts
        self._planned: dict[str, list[StageRun]] = {}

    def alike(self, stage_run: StageRun, context: RunContext) -> Iterator[Member]:
        """Yield the first matching stage of each later job."""
        for name, config in self.siblings():
            if not self._same_setting(config, context):
                continue
            for other in self._stages(name, config, context):
                if side_by_side(stage_run, other) and to_be_done(other):
                    yield Member(name, other)
                    break

    def _same_setting(self, config: Config, context: RunContext) -> bool:
        try:
            return same_setting(self.config, config, context)
        except ConfigError:
            return False  # the other job reports it

    def _stages(self, name: str, config: Config, context: RunContext) -> list[StageRun]:
        """Return the stages of another job; [] if planning fails, which the job reports itself."""
        if name not in self._planned:
            try:
                planned = make_stage_runs(plan_for(config, context.data.shape), self.contexts)
            except Exception:
                planned = []
            self._planned[name] = planned
        return self._planned[name]


def find_members(
    stage_run: StageRun, context: RunContext, later: LaterStages, most: int, locks: ExitStack
) -> list[Member]:
    """Find and lock at most `most` stages of later jobs to train together with the stage."""
    members: dict[str, Member] = {}
    if most > 0:
        for member in later.alike(stage_run, context):
            digest = member.stage_run.digest
            if digest not in members and taken(member.stage_run, locks):
                members[digest] = member
            if len(members) == most:
                break
    return list(members.values())


def same_setting(ours: Config, theirs: Config, context: RunContext) -> bool:
    """Whether two configs share data, splits, device, threads and precision, without early stop.

    Raises:
        ConfigError: the device does not exist, or lacks the precision.
    """
    device = resolve_device(theirs.train.device)
    return (
        ours.dataset == theirs.dataset
        and (ours.seeds, ours.train.seed) == (theirs.seeds, theirs.train.seed)
        and ours.train.deterministic == theirs.train.deterministic
        and ours.train.threads == theirs.train.threads
        # With another value, the other job may refuse the teacher that this job accepts.
        and ours.teacher.min_accuracy == theirs.teacher.min_accuracy
        and Path(ours.output_root).resolve() == Path(theirs.output_root).resolve()
        and device == context.device
        and resolve_precision(theirs.train.precision, device) == context.precision
        and not theirs.chain.stop_early
    )


def side_by_side(stage_run: StageRun, other: StageRun) -> bool:
    """Whether two stages use the same batches and teachers."""
    return (
        stage_run.digest != other.digest
        and stage_run.identity.get("teachers") == other.identity.get("teachers")
        and shared_options(stage_run.stage) == shared_options(other.stage)
        and not other.stage.undecided
        and not other.stage.train.compile
    )


def shared_options(stage: Stage) -> tuple[Any, ...]:
    """Return the options that determine the batches of a stage."""
    train = stage.train
    drawn = (train.seed, train.batch_size, train.accumulate, train.mixup, train.cutmix)
    # The memory layout of given weights is not part of their identity, but changes last bits.
    return stage.role, stage.seed, stage.cache.views, train.channels_last, drawn


def taken(stage_run: StageRun, locks: ExitStack) -> bool:
    """Lock and begin a stage; return whether this process now owns a writable stage."""
    try:
        lock = lock_if_free(stage_run.folder)
        if lock is None:
            return False
        locks.callback(lock.release)
        if not to_be_done(stage_run):
            return False  # finished by another process meanwhile
        remove_leftovers(stage_run.folder)
        write_json(stage_run.folder / IDENTITY, stage_run.identity)
    except KdrunError:
        return False  # the other job reports it
    return True


def to_be_done(stage_run: StageRun) -> bool:
    """Whether the store lacks the stage; a damaged one is left to its own job."""
    try:
        return finished(stage_run.folder, stage_run.digest) is None
    except KdrunError:
        return False
