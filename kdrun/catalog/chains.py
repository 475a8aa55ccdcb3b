"""Chain methods by name: plans of stages between teacher and student. Imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdrun.catalog.rows import Row


@dataclass(frozen=True, kw_only=True)
class ChainMethod(Row):
    """A plan of stages; its code takes the config and, where it is sized, the sizes of models.

    Attributes:
        last_stage: number of the last stage that the section `chain` allows.
        required: options that must not be empty, with what to do about it.
        sized: whether it chooses models by their sizes.
        generations: whether all its models have the student's architecture and nothing of
            `teacher.*` is read; the run then reports on the generations and their ensembles.
        teaches: whether it makes no sense without a term that looks at a teacher.
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
