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
    """One teacher and the page of the view that is being trained on.

    Args:
        teacher: computes what is not stored.
        cache: where it is stored.
        device: of the batches.
        one_order: whether all passes over a view are in one order, so that all leave the same
            image out where a pass leaves one.
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
        """Find the page of a view, or begin to fill it."""
        self.page = self.shared_page(view)
        self.writer = None if self.page is not None else self.cache.writer(view)

    def shared_page(self, view: int) -> Page | None:
        """The page of a view on the device, one copy for all students that train side by side."""
        key = (self.cache.layout.key, view)
        return self.teacher.pages.get(key, lambda: self.stored_page(view))

    def stored_page(self, view: int) -> Page | None:
        """The page of a view, read from the disk to the device."""
        page = self.cache.page(view)
        if page is None:
            return None
        # On the device no batch waits for the host.
        if self.device.type != "cpu":
            page = page.to(self.device)
        # Nor for the answer whether it asks for an image that has no row.
        return replace(page, whole=page.whole or self.one_order)

    def close(self) -> None:
        """Done with the view."""
        if self.writer is not None:
            self.writer.close()
        self.page = self.writer = None

    def logits(self, views: Views) -> Tensor:
        """(N, K) logits, read where they are stored and else computed and stored."""
        indices = views.batch.indices
        if self.page is not None and (found := self.page.rows(indices)) is not None:
            return found
        logits = self.computed(views)
        if self.writer is not None:
            self.writer.write(indices, logits)
        # As a page would give them back, so that a result never depends on which were there.
        return self.cache.as_stored(logits)

    def computed(self, views: Views) -> Tensor:
        """(N, K) logits from the model itself."""
        return self.teacher.outputs(views.images(self.teacher.normalizer)).logits

    def check(self, views: Views, noise: float) -> None:
        """Compare what is stored of a batch with what the model says now.

        Raises:
            OutputError: they differ by more than rounding.
        """
        if self.page is not None and self.page.rows(views.batch.indices) is not None:
            self.page.check(views.batch.indices, self.computed(views), noise)


class CachedTeachers:
    """What one or several teachers say of the views that the student sees; logits only."""

    def __init__(self, members: Sequence[CachedTeacher], check_noise: float | None) -> None:
        self.members = members
        self.check_noise = check_noise
        self.unchecked = False

    def __call__(self, views: Views) -> Outputs:
        """The outputs for a batch of the view that is open."""
        if self.unchecked and self.check_noise is not None:
            for member in self.members:
                member.check(views, self.check_noise)
        self.unchecked = False
        logits = [member.logits(views) for member in self.members]
        return Outputs(logits[0], ensemble=tuple(logits) if len(logits) > 1 else ())

    @contextmanager
    def view(self, number: int) -> Iterator[None]:
        """Train on the view inside the block; its first batch is checked where that is asked."""
        self.unchecked = True
        with ExitStack() as opened:
            for member in self.members:
                member.open(number)
                opened.callback(member.close)
            yield

    def save(self) -> None:
        """Make what was computed so far last, as a checkpoint does the rest."""
        for member in self.members:
            if member.writer is not None:
                member.writer.save()
