"""Caches in a temporary folder."""

import math

import pytest
import torch

from kdrun.teachers.cache.cache import TeacherCache
from kdrun.teachers.cache.quota import CacheQuota

IMAGES, CLASSES = 60, 7


@pytest.fixture
def said():
    """What the user was told."""
    return []


@pytest.fixture
def make_cache(tmp_path, said):
    """Settings -> a cache as a new process would open it."""

    def make(key=None, *, room=None, images=IMAGES, rows=None, classes=CLASSES, **options):
        return TeacherCache(
            room or CacheQuota(tmp_path / "cache", math.inf),
            key or {"teacher": "a"},
            images=images,
            rows=images if rows is None else rows,
            classes=classes,
            say=said.append,
            **options,
        )

    return make


@pytest.fixture
def logits():
    """(IMAGES, CLASSES) teacher logits."""
    return 4 * torch.randn(IMAGES, CLASSES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def fill():
    """Write the rows of the logits, all or those of the indices, and close."""

    def fill(cache, view, logits, indices=None, batch=16):
        indices = torch.arange(len(logits)) if indices is None else indices
        writer = cache.writer(view)
        for part in indices.split(batch):
            writer.write(part, logits[part])
        writer.close()
        return cache.page(view)

    return fill
