"""Teachers whose outputs are stored: computed once for a view, and read by every later run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdrun.engine import Views
from kdrun.job import Setting, mixes
from kdrun.objective import Outputs
from kdrun.plan import Stage
from kdrun.planned_stage import FORMAT
from kdrun.teacher import Teacher
from kdrun.teacher_cache import Page, PageWriter, Room, TeacherCache
from kdrun.terms import cache_encoding

CACHE = "cache"
CHECK_NOISE = {"fp32": 1e-4, "tf32": 5e-3, "bf16": 0.02, "fp16": 5e-3}


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
        page: Page | None = self.teacher.pages.get(key)
        if page is None and (found := self.cache.page(view)) is not None:
            # On the device no batch waits for the host.
            page = found if self.device.type == "cpu" else found.to(self.device)
            # Nor for the answer whether it asks for an image that has no row.
            page = replace(page, whole=page.whole or self.one_order)
            self.teacher.pages[key] = page
        return page

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


def cached_teachers(
    stage: Stage, setting: Setting, teachers: Sequence[Teacher]
) -> CachedTeachers | None:
    """The teachers with a cache each, as the stage's options ask; None where there is none.

    With cache.mode=auto the outputs are stored as they are computed, bit for bit, where all views
    fit into cache.max_gb together.
    """
    options = stage.cache
    encoding = cache_encoding(stage.loss, options)
    if encoding is None or not teachers:
        return None
    dtype, topk = encoding
    room = Room(setting.output_root / CACHE, options.max_gb * 1e9)
    caches = [
        TeacherCache(
            room,
            cache_key(stage, setting, teacher),
            images=len(setting.data.train),
            rows=pass_images(stage, setting),
            classes=len(setting.data.class_names),
            dtype=dtype,
            topk=topk,
            say=setting.reporter.say,
        )
        for teacher in teachers
    ]
    views = options.views or stage.train.epochs
    needed = views * sum(cache.layout.page_bytes for cache in caches)
    if options.mode == "auto" and needed > room.max_bytes:
        return None
    one_order = not options.views or mixes(stage)
    members = [
        CachedTeacher(teacher, cache, setting.device, one_order)
        for teacher, cache in zip(teachers, caches, strict=True)
    ]
    return CachedTeachers(members, check_noise(setting) if options.check else None)


def check_noise(setting: Setting) -> float:
    """What computing the teacher again, perhaps by other algorithms, may change."""
    tf32 = setting.device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return CHECK_NOISE["tf32" if tf32 and setting.precision == "fp32" else setting.precision]


def algorithms(device: torch.device) -> dict[str, Any]:
    """What cuDNN chooses its algorithms by."""
    return {
        "device_name": torch.cuda.get_device_name(device),
        "cudnn": torch.backends.cudnn.version(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32],
    }


def pass_images(stage: Stage, setting: Setting) -> int:
    """Images of a training pass: a single left-over one is left out."""
    images = len(setting.data.train)
    return images - (images % stage.train.batch_size == 1)


def cache_key(stage: Stage, setting: Setting, teacher: Teacher) -> dict[str, Any]:
    """All that the stored outputs depend on, to the last bit."""
    options = stage.train
    mixing = {"mixup": options.mixup, "cutmix": options.cutmix}
    return {
        "teacher": teacher.digest,
        "data": setting.data.fingerprint,
        "augment": setting.augment,
        "seed": options.seed,
        "views": stage.cache.views,
        "mixing": mixing,
        "precision": setting.precision,
        "device": setting.device.type,
        # The last bits of a matrix product depend on these.
        "batch_size": options.batch_size,
        "channels_last": options.channels_last,
        "threads": torch.get_num_threads() if setting.device.type == "cpu" else None,
        **(algorithms(setting.device) if setting.device.type == "cuda" else {}),
        "torch": torch.__version__,
        "format": FORMAT,
    }
