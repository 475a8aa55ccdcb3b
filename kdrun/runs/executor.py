"""Executors: how the training of a stage is driven, by itself or with others."""

from typing import Any, Protocol

from kdrun.teachers.teacher import Teacher
from kdrun.training.context import RunContext, StageRun
from kdrun.training.interleaving import Interleavable, run_to_end

Summary = dict[str, Any]


class Executor(Protocol):
    """How the stages of a run are trained."""

    def train(
        self,
        turns: Interleavable[Summary],
        stage_run: StageRun,
        context: RunContext,
        teachers: list[Teacher],
    ) -> Summary:
        """Do all turns of a job's stage."""
        ...


class Alone:
    """The executor that trains a stage by itself."""

    def train(
        self,
        turns: Interleavable[Summary],
        stage_run: StageRun,
        context: RunContext,
        teachers: list[Teacher],
    ) -> Summary:
        """Do all turns of a job's stage."""
        return run_to_end(turns)
