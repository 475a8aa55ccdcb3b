"""Logits collected with bounded memory."""

import torch

from kdrun.data.batch import Batch
from kdrun.evaluation import predictions
from kdrun.evaluation.predictions import collect, split_batches, stride_for


def batches(*sizes):
    start = 0
    for size in sizes:
        indices = torch.arange(start, start + size)
        yield Batch(indices.float().view(-1, 1, 1, 1), indices % 3, indices)
        start += size


def predict(batch):
    """Logits that name the image, right for the two thirds whose label is not 2."""
    hot = torch.nn.functional.one_hot(batch.labels % 2, 3)
    return hot * (1 + batch.indices[:, None])


def test_every_image_counts_and_every_third_is_kept_across_uneven_batches():
    seen = collect(predict, batches(4, 5, 1, 7), stride=3)
    assert seen.images == 17
    assert seen.correct == sum(1 for index in range(17) if index % 3 != 2)
    assert seen.indices.tolist() == list(range(0, 17, 3))
    assert seen.labels.tolist() == [index % 3 for index in range(0, 17, 3)]
    assert seen.logits.amax(dim=1).tolist() == [index + 1 for index in range(0, 17, 3)]


def test_the_stride_bounds_the_logits_kept():
    assert stride_for(10_000, 10) == 1
    stride = stride_for(1_281_167, 1000)
    assert -(-1_281_167 // stride) * 1000 <= predictions.MOST_LOGITS


def test_the_training_sample_is_fixed_and_not_augmented(make_config):
    from kdrun.runs.prepare import load_data

    data = load_data(make_config("dataset.limit=160"), torch.device("cpu"))
    first, second = (list(split_batches(data, "train", 16)) for _ in range(2))
    whole = {
        int(b.indices[i]): b.images[i]
        for b in data.train.batches(160)
        for i in range(len(b.labels))
    }
    assert len(first) > 1
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one.indices, two.indices)
        for index, image in zip(one.indices.tolist(), one.images, strict=True):
            assert torch.equal(image, whole[index])
