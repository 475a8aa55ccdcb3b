"""Control stages: the same model without the chain, and without any teacher."""

from collections.abc import Sequence
from dataclasses import replace

from kdrun.config.loss_mixture import labels_only
from kdrun.plan.stage import CONTROL, DIRECT, Stage


def controls(pupils: Sequence[Stage]) -> list[Stage]:
    """Return the last pupil taught directly by the first teacher, and trained from labels alone.

    Both train for as many epochs as all pupils together, so that no chain wins by its length.
    """
    last = pupils[-1]
    longer = replace(last, train=replace(last.train, epochs=sum(p.train.epochs for p in pupils)))
    first = pupils[0]
    direct = replace(
        longer, role=DIRECT, teachers=first.teachers, teacher_weights=first.teacher_weights
    )
    return [*([direct] if len(pupils) > 1 else []), from_labels(longer, CONTROL)]


def from_labels(stage: Stage, role: str) -> Stage:
    """Return the stage without its teacher."""
    loss = labels_only(stage.loss)
    return replace(stage, role=role, loss=loss, teachers=(), teacher_weights=())
