"""Predictions of a model: logits over each split, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from kdrun.data.batch import Batch
from kdrun.data.dataset import ImageData

REPORTED = ("validation", "test")
"""The splits that results are reported on."""

SPLITS = ("train", *REPORTED)

MOST_LOGITS = 10_000_000
"""Kept of a model and split: 40 MB, all of 1 000 000 images of 10 classes, 10 000 of 1000."""

MOST_TRAINING_IMAGES = 10_000


@dataclass(frozen=True)
class Answers:
    """What a model says of a split.

    Attributes:
        logits: (n, K) float32 on the CPU, of all images or of every so-manieth.
        labels: (n,) int64.
        indices: (n,) places of the images in the split.
        images: how many were seen, kept or not.
        correct: of those.
    """

    logits: Tensor
    labels: Tensor
    indices: Tensor
    images: int
    correct: int


@torch.inference_mode()
def collect(predict: Callable[[Batch], Tensor], batches: Iterable[Batch], stride: int) -> Answers:
    """Answers to all batches, every `stride`-th image of which is kept."""
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    images, correct = 0, torch.zeros((), dtype=torch.long)
    for batch in batches:
        logits = predict(batch).float()
        correct = correct.to(logits.device) + (logits.argmax(1) == batch.labels).sum()
        chosen = slice(-images % stride, None, stride)
        images += len(batch.labels)
        parts = (logits[chosen], batch.labels[chosen], batch.indices[chosen])
        kept.append(tuple(part.cpu() for part in parts))  # type: ignore[arg-type]
    logits, labels, indices = (torch.cat(part).clone() for part in zip(*kept, strict=True))
    return Answers(logits, labels, indices, images, int(correct))


def stride_for(images: int, classes: int) -> int:
    """The least distance of kept images at which their logits fit in `MOST_LOGITS`."""
    return max(1, -(-images * classes // MOST_LOGITS))


def split_batches(data: ImageData, split: str, batch_size: int) -> Iterator[Batch]:
    """The images of a split as they are; of the training images a fixed sample in random order."""
    if split == "train":
        size = min(batch_size, len(data.train))
        drawn = data.train.train_batches(size, seed=0, view=0, augment="none")
        return islice(drawn, max(1, MOST_TRAINING_IMAGES // size))
    found = data.validation if split == "validation" else data.test
    assert found is not None
    return found.batches(batch_size)


def split_size(data: ImageData, split: str) -> int:
    """How many images `split_batches` gives at most; 0 for a split that there is not."""
    sizes = {
        "train": min(len(data.train), MOST_TRAINING_IMAGES),
        "validation": 0 if data.validation is None else len(data.validation),
        "test": len(data.test),
    }
    return sizes[split]
