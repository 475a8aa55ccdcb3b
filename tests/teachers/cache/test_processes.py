"""Several processes at one cache, and processes that are killed."""

import math
import multiprocessing
import random
import time

import pytest
import torch

from kdrun.teachers.cache import writer as writer_module
from kdrun.teachers.cache.cache import TeacherCache
from kdrun.teachers.cache.quota import CacheQuota

IMAGES, CLASSES, BATCH = 2000, 10, 50


def teacher(indices: torch.Tensor) -> torch.Tensor:
    """Logits of the images, the same in every process."""
    return torch.sin(indices[:, None] * 0.37 + torch.arange(CLASSES) * 1.7) * 5


def open_cache(root) -> TeacherCache:
    return TeacherCache(
        CacheQuota(root, math.inf), {}, images=IMAGES, rows=IMAGES, classes=CLASSES, say=print
    )


def assert_right(cache, view):
    page = cache.page(view)
    every = torch.arange(IMAGES)
    assert torch.equal(page.rows(every), cache.as_stored(teacher(every)))


def fill_slowly(root, saved, start=0):
    """A pass that saves after each batch and says how far it has come."""
    writer_module.FLUSH_BYTES["cpu"] = 300
    writer = open_cache(root).writer(0)
    for number in range(start, IMAGES // BATCH):
        indices = torch.arange(number * BATCH, (number + 1) * BATCH)
        writer.write(indices, teacher(indices))
        if number % 3 == 2:
            writer.save()
            saved.value = number + 1
    writer.close()


def run_epochs(root, seed, barrier, filled, results):
    """Training as far as the cache sees it: reads a page, or computes and writes if it can."""
    cache, right = open_cache(root), True
    for view in range(4):
        barrier.wait(60)
        page, writer = cache.page(view), cache.writer(view)
        order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(seed + view))
        for indices in order.split(BATCH):
            fresh = cache.as_stored(teacher(indices))
            right &= page is None or torch.equal(page.rows(indices), fresh)
            seen = cache.page(view)  # never half a page
            right &= seen is None or torch.equal(seen.rows(indices), fresh)
            if writer is not None:
                writer.write(indices, teacher(indices))
        if writer is not None:
            writer.close()
            with filled.get_lock():
                filled.value += 1
    results.put(right)


@pytest.fixture(scope="module")
def context():
    """Processes that start quickly and clean."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def test_processes_that_fill_the_same_pages_get_in_nobodys_way(tmp_path, context):
    barrier, filled, results = context.Barrier(3), context.Value("i", 0), context.Queue()
    processes = [
        context.Process(target=run_epochs, args=(tmp_path, 10 * n, barrier, filled, results))
        for n in range(3)
    ]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [True, True, True]
    for process in processes:
        process.join()
    assert filled.value == 4
    for view in range(4):
        assert_right(open_cache(tmp_path), view)


def test_only_one_writes_and_the_other_does_not_wait(tmp_path):
    writer = open_cache(tmp_path).writer(0)
    began = time.monotonic()
    assert open_cache(tmp_path).writer(0) is None
    assert time.monotonic() - began < 0.5
    assert open_cache(tmp_path).writer(1) is not None
    writer.close()


def test_killed_at_any_moment_the_saved_rows_stay_and_the_others_do_not_count(tmp_path, context):
    choice = random.Random(3)
    for trial in range(12):
        root, saved = tmp_path / str(trial), context.Value("i", 0)
        process = context.Process(target=fill_slowly, args=(root, saved))
        process.start()
        until = choice.randrange(1, IMAGES // BATCH)
        while saved.value < until and process.is_alive():
            time.sleep(0.0005)
        time.sleep(choice.random() * 0.003)
        process.kill()
        process.join()
        cache, done = open_cache(root), saved.value
        if cache.page(0) is None:
            writer = cache.writer(0)
            # What was saved is not written again: it would be wrong.
            writer.write(torch.arange(done * BATCH), torch.zeros(done * BATCH, CLASSES))
            rest = torch.arange(done * BATCH, IMAGES)
            writer.write(rest, teacher(rest))
            writer.close()
        assert_right(open_cache(root), 0)
        assert not list(cache.folder.glob(".tmp-*.json"))
