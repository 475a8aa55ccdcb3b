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


def test_each_image_is_known_to_be_right_or_wrong_whatever_is_kept():
    seen = collect(predict, batches(4, 5, 1, 7), stride=3)
    assert seen.right.tolist() == [index % 3 != 2 for index in range(17)]


def test_images_have_one_hash_whatever_the_batches_and_another_where_a_pixel_differs():
    def source(change=0.0, label=None, sizes=(6,)):
        found = []
        for number, batch in enumerate(batches(*sizes)):
            images, labels = batch.images.expand(-1, 3, 40, 40).clone(), batch.labels.clone()
            if number == 0:
                images[0, 2, 6, 6] += change
                labels[0] = labels[0] if label is None else label
            found.append(Batch(images.to(torch.uint8), labels, batch.indices))
        return collect(predict, found, stride=1).source

    assert source() == source(sizes=(2, 3, 1))
    assert len({source(), source(change=1.0), source(label=2), source(sizes=(5,))}) == 4


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
