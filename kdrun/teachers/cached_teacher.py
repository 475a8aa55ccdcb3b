"""Teachers with stored outputs: computed once per view, read by later runs."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from kdrun.data.batch_views import Views
from kdrun.losses.term import Outputs
from kdrun.teachers.cache.cache import TeacherCache
from kdrun.teachers.cache.page import Page
from kdrun.teachers.cache.writer import PageWriter
from kdrun.teachers.teacher import Teacher


class CachedTeacher:
    """One teacher and the page of the current view.

    Args:
        teacher: computes the outputs that are not stored.
        cache: the stored outputs.
        device: of the batches.
        one_order: whether all passes over a view have the same order, so that all drop the same
            image, if any.
    """

    def __init__(
        self, teacher: Teacher, cache: TeacherCache, device: torch.device, one_order: bool = False
    ) -> None:
        self.teacher = teacher
        self.cache = cache
        self.device = device
        self.one_order = one_order
        self.page: Page | None = None
        self.writer: PageWriter | None = None

    def open(self, view: int) -> None:
        """Open the page of a view, or start writing it."""
        self.page = self.shared_page(view)
        self.writer = None if self.page is not None else self.cache.writer(view)

    def shared_page(self, view: int) -> Page | None:
        """The page of a view on the device, one copy for all students trained side by side."""
        key = (self.cache.layout.key, view)
        return self.teacher.pages.get(key, lambda: self.stored_page(view))

    def stored_page(self, view: int) -> Page | None:
        """The page of a view, read from disk to the device."""
        page = self.cache.page(view)
        if page is None:
            return None
        # On the device, lookups do not synchronise.
        if self.device.type != "cpu":
            page = page.to(self.device)
        # Without a check for images without a row, either.
        return replace(page, whole=page.whole or self.one_order)

    def close(self) -> None:
        """Close the page of the view."""
        if self.writer is not None:
            self.writer.close()
        self.page = self.writer = None

    def logits(self, views: Views) -> Tensor:
        """(N, K) logits, read if stored, else computed and stored."""
        indices = views.batch.indices
        if self.page is not None and (found := self.page.rows(indices)) is not None:
            return found
        logits = self.computed(views)
        if self.writer is not None:
            self.writer.write(indices, logits)
        # After a storage round trip, so that results do not depend on the pages found.
        return self.cache.as_stored(logits)

    def computed(self, views: Views) -> Tensor:
        """(N, K) logits computed by the model."""
        return self.teacher.outputs(views.images(self.teacher.normalizer)).logits

    def check(self, views: Views, noise: float) -> None:
        """Compare the stored outputs of a batch with the model's current ones.

        Raises:
            OutputError: they differ by more than rounding.
        """
        if self.page is not None and self.page.rows(views.batch.indices) is not None:
            self.page.check(views.batch.indices, self.computed(views), noise)


class CachedTeachers:
    """Outputs of one or several teachers for the student's views; logits only."""

    def __init__(self, members: Sequence[CachedTeacher], check_noise: float | None) -> None:
        self.members = members
        self.check_noise = check_noise
        self.unchecked = False

    def __call__(self, views: Views) -> Outputs:
        """The outputs for a batch of the open view."""
        if self.unchecked and self.check_noise is not None:
            for member in self.members:
                member.check(views, self.check_noise)
        self.unchecked = False
        logits = [member.logits(views) for member in self.members]
        return Outputs(logits[0], ensemble=tuple(logits) if len(logits) > 1 else ())

    @contextmanager
    def view(self, number: int) -> Iterator[None]:
        """Open the view inside the block; its first batch is checked if requested."""
        self.unchecked = True
        with ExitStack() as opened:
            for member in self.members:
                member.open(number)
                opened.callback(member.close)
            yield

    def save(self) -> None:
        """Make the outputs computed so far durable, together with a checkpoint."""
        for member in self.members:
            if member.writer is not None:
                member.writer.save()
