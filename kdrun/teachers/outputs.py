"""Outputs of a stage's teachers for the views that its student sees."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from kdrun.data.batch_views import Views
from kdrun.losses.term import Outputs
from kdrun.teachers.teacher import Teacher


class TeacherOutputs(Protocol):
    """Where the training of a stage gets the outputs of its teachers from."""

    def __call__(self, views: Views) -> Outputs | None:
        """The outputs for a batch; None where the stage has no teacher."""
        ...

    def view(self, number: int) -> AbstractContextManager[None]:
        """Train on a view of the images inside the block."""
        ...

    def save(self) -> None:
        """Make durable what was computed so far."""
        ...


class NoTeachers:
    """A stage that learns from labels alone."""

    def __call__(self, views: Views) -> None:
        """No outputs."""

    def view(self, number: int) -> AbstractContextManager[None]:
        """The same for every view."""
        return nullcontext()

    def save(self) -> None:
        """Nothing is kept."""


class LiveTeachers:
    """One or several teachers computed for every batch; hidden states are the first one's."""

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        self.teachers = teachers

    def __call__(self, views: Views) -> Outputs:
        """The outputs for a batch."""
        outputs = [teacher.outputs(views.images(teacher.normalizer)) for teacher in self.teachers]
        ensemble = tuple(one.logits for one in outputs) if len(outputs) > 1 else ()
        return Outputs(*outputs[0], ensemble)

    def view(self, number: int) -> AbstractContextManager[None]:
        """The same for every view."""
        return nullcontext()

    def save(self) -> None:
        """Nothing is kept."""
