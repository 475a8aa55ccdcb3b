"""Training with a cache equals training without one."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from kdrun.data.memory_split import MemorySplit
from kdrun.losses import soft_target_loss
from tests.teachers.cache.test_page import ENCODINGS

COUNT, CLASSES, BATCH, VIEWS = 65, 5, 16, 2  # one image is left over in every pass


@pytest.fixture
def split():
    """Random images; an image of a pass is left out."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (COUNT, 8, 8, 1), dtype=torch.uint8, generator=generator)
    labels = torch.randint(CLASSES, (COUNT,), generator=generator)
    return MemorySplit(images, labels, torch.device("cpu"))


def flat(images):
    return images.flatten(1).float() / 255


def distil(split, say_live, epochs=4):
    """SGD on the views' soft targets; `say_live(view)` -> (batch, compute) -> teacher logits."""
    torch.manual_seed(1)
    student, teacher = torch.nn.Linear(64, CLASSES), torch.nn.Linear(64, CLASSES)
    optimizer = torch.optim.SGD(student.parameters(), 0.5)
    for epoch in range(epochs):
        view = epoch % VIEWS
        teach, done = say_live(view)
        for batch in split.train_batches(BATCH, seed=3, view=view, augment="crop_flip"):
            images = flat(batch.images)
            with torch.no_grad():
                logits = teach(batch, lambda images=images: 10 * teacher(images))
            loss = soft_target_loss(student(images), logits, 2.0)
            loss = loss + cross_entropy(student(images), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        done()
    return student.weight.detach()


def cached(cache, hits):
    """As training uses a cache."""

    def teach_view(view):
        page, writer = cache.page(view), cache.writer(view)

        def teach(batch, compute):
            rows = None if page is None else page.rows(batch.indices)
            hits.append(rows is not None)
            if rows is not None:
                return rows
            logits = compute()
            if writer is not None:
                writer.write(batch.indices, logits)
            return cache.as_stored(logits)

        return teach, lambda: writer is None or writer.close()

    return teach_view


def live(view):
    return lambda batch, compute: compute(), lambda: None


@pytest.mark.parametrize("options", ENCODINGS, ids=str)
def test_it_makes_no_difference_which_passes_found_a_page(make_cache, split, options):
    sizes = {"images": COUNT, "rows": COUNT - 1, "classes": CLASSES}
    hits = []
    first = distil(split, cached(make_cache(**sizes, **options), hits))
    batches = split.num_batches(BATCH)
    assert hits == [False] * 2 * batches + [True] * 2 * batches
    hits.clear()
    second = distil(split, cached(make_cache(**sizes, **options), hits))
    assert all(hits)
    assert torch.equal(first, second)


def test_in_float32_it_equals_training_without_a_cache(make_cache, split):
    cache = make_cache(images=COUNT, rows=COUNT - 1, classes=CLASSES, dtype="float32")
    hits = []
    for _ in range(2):
        assert torch.equal(distil(split, live), distil(split, cached(cache, hits)))
    assert sum(hits) == 3 * len(hits) // 4


def test_in_float16_it_is_close_to_training_without_a_cache(make_cache, split):
    cache = make_cache(images=COUNT, rows=COUNT - 1, classes=CLASSES)
    weights = distil(split, cached(cache, []))
    assert torch.allclose(weights, distil(split, live), atol=1e-2)
    assert not torch.equal(weights, distil(split, live))
