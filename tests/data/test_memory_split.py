import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.data.augment import draw_crops, take_crops, with_margins
from kdrun.data.counter_random import shuffled
from kdrun.data.memory_split import MemorySplit


def make_split(count=37, size=8, channels=3):
    generator = torch.Generator().manual_seed(0)
    shape = (count, size, size, channels)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 5, (count,), generator=generator)
    return images, labels, MemorySplit(images, labels, torch.device("cpu"))


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(2, 70))
def test_a_training_pass_visits_every_image_once_but_a_single_left_over(count, batch_size):
    _, _, split = make_split(count)
    batches = list(split.train_batches(batch_size, seed=1, view=2, augment="none"))
    assert len(batches) == split.num_batches(batch_size)
    visited = torch.cat([batch.indices for batch in batches])
    left_over = 1 if count % batch_size == 1 else 0
    assert torch.equal(visited, shuffled(count, 1, 2)[: count - left_over])
    assert all(len(batch.labels) > 1 for batch in batches)


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
def test_a_pass_begun_in_the_middle_is_the_rest_of_the_whole_pass(augment):
    _, _, split = make_split()
    whole = list(split.train_batches(8, seed=0, view=1, augment=augment))
    for start in range(len(whole) + 1):
        rest = list(split.train_batches(8, seed=0, view=1, augment=augment, start=start))
        assert len(rest) == len(whole) - start
        for one, other in zip(rest, whole[start:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("augment", ["crop", "crop_flip"])
def test_an_image_looks_the_same_whatever_the_batch_size(augment):
    images, labels, split = make_split()
    flip = augment == "crop_flip"
    every = torch.arange(len(labels))
    crops = draw_crops(8, every, seed=3, view=5)
    expected = take_crops(with_margins(images), 8, crops, flip=flip)
    for batch_size in (2, 8, 37):
        for batch in split.train_batches(batch_size, seed=3, view=5, augment=augment):
            assert torch.equal(batch.images, expected[batch.indices].permute(0, 3, 1, 2))
            assert torch.equal(batch.labels, labels[batch.indices])


def test_unaugmented_batches_hold_the_images_themselves():
    images, labels, split = make_split()
    for batch in split.train_batches(8, seed=0, view=0, augment="none"):
        assert torch.equal(batch.images.permute(0, 2, 3, 1), images[batch.indices])
    evaluated = list(split.batches(10))
    assert [len(batch.labels) for batch in evaluated] == [10, 10, 10, 7]
    assert torch.equal(torch.cat([b.images for b in evaluated]).permute(0, 2, 3, 1), images)
    assert torch.equal(torch.cat([b.labels for b in evaluated]), labels)
    assert torch.equal(torch.cat([b.indices for b in evaluated]), torch.arange(37))


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_batches_are_uint8_in_channels_last_memory(augment):
    _, _, split = make_split()
    batches = [
        next(iter(split.train_batches(8, seed=0, view=0, augment=augment))),
        next(iter(split.batches(8))),
    ]
    for batch in batches:
        assert batch.images.shape == (8, 3, 8, 8)
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.dtype == batch.indices.dtype == torch.int64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
def test_passes_are_the_same_on_a_gpu(augment):
    images, labels, split = make_split()
    on_gpu = MemorySplit(images, labels, torch.device("cuda"))
    passes = [s.train_batches(8, seed=1, view=2, augment=augment) for s in (split, on_gpu)]
    for here, there in zip(*passes, strict=True):
        assert there.images.device.type == "cuda"
        assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))
