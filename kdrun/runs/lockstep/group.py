"""Lockstep group: a stage and stages of later jobs, trained in turns of one update.

Each stage computes exactly what it would on its own, so that results are equal bit for bit. Shared
are the batches, the normalised images and the teachers' outputs.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

from rich.console import Console

from kdrun.config.schema import Config
from kdrun.errors import Stopped
from kdrun.loggers.console import Reporter
from kdrun.plan.stage import CONTROL, STUDENT
from kdrun.runs.executor import Alone, Executor, Summary
from kdrun.runs.lockstep.members import LaterStages, Member, find_members
from kdrun.runs.lockstep.round_robin import HeldStop, LockstepStage, take_turns
from kdrun.runs.lockstep.shared_pass import SharedPass
from kdrun.runs.lockstep.siblings import Siblings
from kdrun.training.context import ContextBySeed, RunContext, StageRun
from kdrun.training.run_stage import run_stage
from kdrun.training.teacher_outputs import load_teacher
from kdrun.training.trainer import Record

TOGETHER = (STUDENT, CONTROL)
"""Roles that are trained in lockstep."""


@dataclass(frozen=True)
class LockstepGroup:
    """A stage and locked stages of later jobs to train together.

    Attributes:
        leader: stage of the current job.
        members: stages of later jobs.
        inputs: shared pass over the data.
    """

    leader: StageRun
    members: Sequence[Member]
    inputs: SharedPass

    def train(self, teachers: Sequence[StageRun], context: RunContext, record: Record) -> Summary:
        """Train all stages, report the members' outcomes, and return the leader's summary."""
        names = ", ".join(member.title for member in self.members)
        context.reporter.say(f"{self.leader.title}: in lockstep with {names}")
        stop = HeldStop(context.stop)
        shared = replace(context, inputs=self.inputs, stop=stop)
        leader, *others = self.stages(teachers, shared, record)
        take_turns([leader, *others], stop)
        for member in others:
            context.reporter.say(outcome(member))
        if leader.error is not None:
            raise leader.error
        assert leader.summary is not None
        return leader.summary

    def stages(
        self, teachers: Sequence[StageRun], context: RunContext, record: Record
    ) -> list[LockstepStage]:
        """Return the leader and the members before their first turn, with the same teachers."""
        kept = self.leader.stage.train.accumulate
        loaded = [load_teacher(teacher, context, kept) for teacher in teachers]
        leader = run_stage(self.leader, context, loaded, record)
        stages = [LockstepStage(self.leader.title, leader)]
        for member in self.members:
            turns = run_stage(member.stage_run, quiet(context, member), loaded, discard)
            stages.append(LockstepStage(member.title, turns))
        return stages


class Lockstep:
    """Executor that trains stages of a sweep's later jobs together with the current one.

    Args:
        later: stages of the later jobs.
        size: largest number of stages in lockstep.
    """

    def __init__(self, later: LaterStages, size: int) -> None:
        self.later = later
        self.size = size

    def train(
        self,
        stage_run: StageRun,
        teachers: Sequence[StageRun],
        context: RunContext,
        record: Record,
    ) -> Summary:
        """Train the stage together with stages of later jobs that use the same batches."""
        if stage_run.stage.role not in TOGETHER or stage_run.stage.train.compile:
            return Alone().train(stage_run, teachers, context, record)
        with ExitStack() as locks:
            members = find_members(stage_run, context, self.later, self.size - 1, locks)
            if members:
                inputs = SharedPass(1 + len(members), stage_run.stage.train.accumulate)
                group = LockstepGroup(stage_run, members, inputs)
                return group.train(teachers, context, record)
        context.reporter.say(f"{stage_run.title}: no later job has a stage to train in lockstep")
        return Alone().train(stage_run, teachers, context, record)


def make_executor(config: Config, contexts: ContextBySeed, siblings: Siblings) -> Executor:
    """Return the executor selected by `train.lockstep`."""
    if config.train.lockstep == 1:
        return Alone()
    return Lockstep(LaterStages(config, siblings, contexts), config.train.lockstep)


def quiet(context: RunContext, member: Member) -> RunContext:
    """Return the context of a member, with messages only in the log."""
    reporter = Reporter(Console(file=StringIO()), context.reporter.log, f"{member.job}: ")
    return replace(context, reporter=reporter)


def outcome(member: LockstepStage) -> str:
    """Return the message about the outcome of a member."""
    if isinstance(member.error, Stopped):
        return f"{member.title}: stopped"
    if member.summary is None:
        return f"{member.title}: failed in lockstep ({member.error}); its own job trains the rest"
    accuracy = member.summary["accuracy"]["best_validation"]
    return f"{member.title}: done" + ("" if accuracy is None else f", val {accuracy:.2%}")


def discard(line: dict[str, Any]) -> None:
    """Discard the record; the stage's own job logs it."""
