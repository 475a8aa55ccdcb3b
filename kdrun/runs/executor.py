"""Executors: training of a stage on its own or with others."""

from collections.abc import Sequence
from typing import Any, Protocol

from kdrun.training.context import RunContext, StageRun
from kdrun.training.interleaving import run_to_end
from kdrun.training.run_stage import run_stage
from kdrun.training.teacher_outputs import load_teacher
from kdrun.training.trainer import Record

Summary = dict[str, Any]


class Executor(Protocol):
    """Strategy for training the stages of a run."""

    def train(
        self,
        stage_run: StageRun,
        teachers: Sequence[StageRun],
        context: RunContext,
        record: Record,
    ) -> Summary:
        """Train the stage; return its summary."""
        ...


class Alone:
    """Executor that trains each stage on its own."""

    def train(
        self,
        stage_run: StageRun,
        teachers: Sequence[StageRun],
        context: RunContext,
        record: Record,
    ) -> Summary:
        """Train the stage; return its summary."""
        loaded = [load_teacher(teacher, context) for teacher in teachers]
        return run_to_end(run_stage(stage_run, context, loaded, record))
