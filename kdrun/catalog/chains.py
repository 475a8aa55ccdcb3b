"""Chain methods: plans of stages between teacher and student. Imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class ChainMethod(Row):
    """A chain method; its code plans stages from the config and the sizes of models.

    Attributes:
        last_stage: returns the number of the last stage for a section `chain`.
        required: options that must not be empty, each with its remedy.
        sized: whether the method chooses models by size.
        generations: whether all models have the student's architecture and `teacher.*` is
            unused; the run then reports on the generations and their ensembles.
        teaches: whether the method needs a loss term that reads a teacher.
    """

    last_stage: Callable[[Any], int]
    required: Mapping[str, str] = field(default_factory=dict)
    sized: bool = False
    generations: bool = False
    teaches: bool = True


CHAIN_METHODS: dict[str, ChainMethod] = {
    "none": ChainMethod(
        code="kdrun.plan.teacher_chain:plan_direct", last_stage=lambda chain: 1, teaches=False
    ),
    "assistants": ChainMethod(
        code="kdrun.plan.teacher_chain:plan_assistants",
        reads=("assistants",),
        required={"assistants": "name at least one, or let chain=auto choose"},
        last_stage=lambda chain: len(chain.assistants) + 1,
    ),
    "auto": ChainMethod(
        code="kdrun.plan.teacher_chain:plan_by_size",
        reads=("ratio", "max_assistants"),
        sized=True,
        last_stage=lambda chain: chain.max_assistants + 1,
    ),
    "born_again": ChainMethod(
        code="kdrun.plan.born_again:plan_generations",
        reads=("generations", "stop_early", "ensemble_control"),
        generations=True,
        last_stage=lambda chain: chain.generations - 1,
    ),
}
