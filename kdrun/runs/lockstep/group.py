"""The group of students in lockstep: a stage and those of later jobs, trained update by update.

Each does what it would do by itself, update by update in turns, so that its result is the same to
the last bit. They share the batches, the normalised images and the teachers' outputs.
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
"""The roles that are trained side by side."""


@dataclass(frozen=True)
class LockstepGroup:
    """A stage and the locked stages of later jobs that are trained with it.

    Attributes:
        leader: the stage of the job's own.
        members: those of later jobs.
        inputs: one pass over the data for all.
    """

    leader: StageRun
    members: Sequence[Member]
    inputs: SharedPass

    def train(self, teachers: Sequence[StageRun], context: RunContext, record: Record) -> Summary:
        """Train all to their end and say what became of the members; the leader's summary."""
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
        """The leader and the members before their first turn, with the same teachers."""
        kept = self.leader.stage.train.accumulate
        loaded = [load_teacher(teacher, context, kept) for teacher in teachers]
        leader = run_stage(self.leader, context, loaded, record)
        stages = [LockstepStage(self.leader.title, leader)]
        for member in self.members:
            turns = run_stage(member.stage_run, quiet(context, member), loaded, discard)
            stages.append(LockstepStage(member.title, turns))
        return stages


class Lockstep:
    """The executor that takes stages of a sweep's later jobs along.

    Args:
        later: the stages of those jobs.
        size: how many stages are trained side by side at most.
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
        """Train the stage, and with it those of later jobs that see the same batches."""
        if stage_run.stage.role not in TOGETHER or stage_run.stage.train.compile:
            return Alone().train(stage_run, teachers, context, record)
        with ExitStack() as locks:
            members = find_members(stage_run, context, self.later, self.size - 1, locks)
            if members:
                inputs = SharedPass(1 + len(members), stage_run.stage.train.accumulate)
                group = LockstepGroup(stage_run, members, inputs)
                return group.train(teachers, context, record)
        context.reporter.say(f"{stage_run.title}: no later job has one to go along in lockstep")
        return Alone().train(stage_run, teachers, context, record)


def make_executor(config: Config, contexts: ContextBySeed, siblings: Siblings) -> Executor:
    """The executor that `train.lockstep` asks for."""
    if config.train.lockstep == 1:
        return Alone()
    return Lockstep(LaterStages(config, siblings, contexts), config.train.lockstep)


def quiet(context: RunContext, member: Member) -> RunContext:
    """The context of a member: its lines go to the log alone."""
    reporter = Reporter(Console(file=StringIO()), context.reporter.log, f"{member.job}: ")
    return replace(context, reporter=reporter)


def outcome(member: LockstepStage) -> str:
    """What a person is told of a stage that went along."""
    if isinstance(member.error, Stopped):
        return f"{member.title}: stopped"
    if member.summary is None:
        return f"{member.title}: not done in lockstep ({member.error}); its job goes on with it"
    accuracy = member.summary["accuracy"]["best_validation"]
    return f"{member.title}: done" + ("" if accuracy is None else f", val {accuracy:.2%}")


def discard(line: dict[str, Any]) -> None:
    """Discard the record; the stage's own job logs it."""
