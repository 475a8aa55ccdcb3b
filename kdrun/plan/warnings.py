"""Warnings for plans that are valid but probably unintended."""

from collections.abc import Iterator, Sequence

from kdrun.catalog.datasets import ImageShape
from kdrun.config.loss_mixture import active_terms
from kdrun.plan.build import head_of
from kdrun.plan.stage import ASSISTANT, STUDENT, Stage


def plan_warnings(
    stages: Sequence[Stage], parameters: Sequence[int], shape: ImageShape
) -> list[str]:
    """Return the warnings, each once for all seeds."""
    return list(dict.fromkeys([*size_warnings(stages, parameters), *loss_warnings(stages, shape)]))


def loss_warnings(stages: Sequence[Stage], shape: ImageShape) -> Iterator[str]:
    """Warn of losses over the non-target classes where there is only one such class."""
    for stage in stages:
        loss = stage.loss
        if stage.teachers and shape.num_classes == 2:
            for name, term in active_terms(loss).items():
                if (part := term.row.among_others) is not None:
                    yield f"{name}: with 2 classes the second part, loss.{name}.{part}, is always 0"


def size_warnings(stages: Sequence[Stage], parameters: Sequence[int]) -> Iterator[str]:
    """Warn of stages larger than their teacher, and of students hardly smaller."""
    for position, stage in enumerate(stages):
        if stage.role not in (ASSISTANT, STUDENT) or not stage.teachers:
            continue
        teacher = stage.teachers[0]
        if parameters[position] > parameters[teacher]:
            yield (
                f"{stage.role} {stage.model.arch} is larger than its teacher "
                f"{stages[teacher].model.arch}"
            )
        elif stage.role == STUDENT:
            yield from _hardly_smaller(stages, parameters, position)


def _hardly_smaller(
    stages: Sequence[Stage], parameters: Sequence[int], position: int
) -> Iterator[str]:
    """Warn of a student above half its teachers' size, unless it repeats one of them."""
    heads = head_of(stages, position)
    ratio = sum(parameters[head] for head in heads) / parameters[position]
    again = len(heads) == 1 and stages[heads[0]].model.arch == stages[position].model.arch
    if ratio < 2 and not (again and ratio == 1):
        models = " and ".join(stages[head].model.arch for head in heads)
        yield (
            f"student {stages[position].model.arch} is only {ratio:.3g}x smaller than {models}: "
            "below 2x there is little to compress"
        )
