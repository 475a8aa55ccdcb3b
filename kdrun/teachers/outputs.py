"""Outputs of a stage's teachers for the views of its student."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from kdrun.data.batch_views import Views
from kdrun.losses.term import Outputs
from kdrun.teachers.teacher import Teacher


class TeacherOutputs(Protocol):
    """Source of the teachers' outputs in the training of a stage."""

    def __call__(self, views: Views) -> Outputs | None:
        """The outputs for a batch; None for a stage without teachers."""
        ...

    def view(self, number: int) -> AbstractContextManager[None]:
        """Open a view of the images inside the block."""
        ...

    def save(self) -> None:
        """Make the outputs computed so far durable."""
        ...


class NoTeachers:
    """No teachers: a stage trained on labels alone."""

    def __call__(self, views: Views) -> None:
        """No outputs."""

    def view(self, number: int) -> AbstractContextManager[None]:
        """The same for every view."""
        return nullcontext()

    def save(self) -> None:
        """Nothing is kept."""


class LiveTeachers:
    """One or several teachers run on every batch; hidden states come from the first."""

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
