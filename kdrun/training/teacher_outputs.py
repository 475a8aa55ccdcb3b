"""Finished stages as teachers, their outputs computed live or read from a cache."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from kdrun.config.loss_mixture import cache_encoding
from kdrun.plan.identity import FORMAT
from kdrun.plan.stage import Stage
from kdrun.teachers.cache.cache import TeacherCache
from kdrun.teachers.cache.quota import CacheQuota
from kdrun.teachers.cached_teacher import CachedTeacher, CachedTeachers
from kdrun.teachers.outputs import LiveTeachers, NoTeachers, TeacherOutputs
from kdrun.teachers.teacher import Teacher
from kdrun.training.batches import mixes
from kdrun.training.context import RunContext, StageRun
from kdrun.training.stage_model import load_finished


def load_teacher(stage_run: StageRun, context: RunContext, kept: int = 0) -> Teacher:
    """Load a finished stage as a frozen, folded teacher; `kept`: passes with retained outputs."""
    network, normalizer = load_finished(stage_run, context)
    example = next(iter(context.data.train.batches(2))).images
    arch, digest = stage_run.stage.model.arch, stage_run.digest
    return Teacher(arch, digest, network, normalizer, context.autocast, example, kept)


def teacher_outputs(
    stage: Stage, context: RunContext, teachers: Sequence[Teacher]
) -> TeacherOutputs:
    """Return the teacher outputs of the stage: cached if its options say so, else live."""
    if not teachers:
        return NoTeachers()
    return cached_teachers(stage, context, teachers) or LiveTeachers(teachers)


CACHE = "cache"
CHECK_NOISE = {"fp32": 1e-4, "tf32": 5e-3, "bf16": 0.02, "fp16": 5e-3}


def cached_teachers(
    stage: Stage, context: RunContext, teachers: Sequence[Teacher]
) -> CachedTeachers | None:
    """Return the teachers with caches by the stage's options; None without a cache.

    With cache.mode=auto the outputs are stored losslessly if all views fit into cache.max_gb.
    """
    options = stage.cache
    encoding = cache_encoding(stage.loss, options)
    if encoding is None:
        return None
    dtype, topk = encoding
    room = CacheQuota(context.output_root / CACHE, options.max_gb * 1e9)
    caches = [
        TeacherCache(
            room,
            cache_key(stage, context, teacher),
            images=len(context.data.train),
            rows=pass_images(stage, context),
            classes=len(context.data.class_names),
            dtype=dtype,
            topk=topk,
            say=context.reporter.say,
        )
        for teacher in teachers
    ]
    views = options.views or stage.train.epochs
    needed = views * sum(cache.layout.page_bytes for cache in caches)
    if options.mode == "auto" and needed > room.max_bytes:
        context.reporter.say(not_stored_line(views, needed, options.max_gb))
        return None
    one_order = not options.views or mixes(stage)
    members = [
        CachedTeacher(teacher, cache, context.device, one_order)
        for teacher, cache in zip(teachers, caches, strict=True)
    ]
    return CachedTeachers(members, check_noise(context) if options.check else None)


def not_stored_line(views: int, needed: int, max_gb: float) -> str:
    """Return the line on an automatic cache that would be too large."""
    gigabytes = math.ceil(needed / 1e7) / 100
    return (
        f"teacher outputs are not stored but computed every epoch: {views} views need up to "
        f"{gigabytes:g} GB, more than cache.max_gb={max_gb:g}; set cache.max_gb={gigabytes:g}, or "
        "cache.views lower"
    )


def check_noise(context: RunContext) -> float:
    """Return the largest rounding difference of a recomputed teacher, with other algorithms."""
    tf32 = context.device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return CHECK_NOISE["tf32" if tf32 and context.precision == "fp32" else context.precision]


def algorithms(device: torch.device) -> dict[str, Any]:
    """Return the settings by which cuDNN selects algorithms."""
    return {
        "device_name": torch.cuda.get_device_name(device),
        "cudnn": torch.backends.cudnn.version(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32],
    }


def pass_images(stage: Stage, context: RunContext) -> int:
    """Return the number of images in a training pass; a last batch of one image is dropped."""
    images = len(context.data.train)
    return images - (images % stage.train.batch_size == 1)


def cache_key(stage: Stage, context: RunContext, teacher: Teacher) -> dict[str, Any]:
    """Return everything that the stored outputs depend on, to the last bit."""
    options = stage.train
    mixing = {"mixup": options.mixup, "cutmix": options.cutmix}
    return {
        "teacher": teacher.digest,
        "data": context.data.fingerprint,
        "augment": context.augment,
        "seed": options.seed,
        "views": stage.cache.views,
        "mixing": mixing,
        "precision": context.precision,
        "device": context.device.type,
        # The last bits of a matrix product depend on these.
        "batch_size": options.batch_size,
        "channels_last": options.channels_last,
        "threads": torch.get_num_threads() if context.device.type == "cpu" else None,
        **(algorithms(context.device) if context.device.type == "cuda" else {}),
        "torch": torch.__version__,
        "format": FORMAT,
    }
