"""Predictions of a model: logits over each split, in bounded memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from kdrun.data.batch import Batch
from kdrun.data.dataset import ImageData
from kdrun.errors import DataError

REPORTED = ("validation", "test")
"""The splits that results are reported on."""

SPLITS = ("train", *REPORTED)

MOST_LOGITS = 10_000_000
"""Kept of a model and split: 40 MB, all of 1 000 000 images of 10 classes, 10 000 of 1000."""

MOST_TRAINING_IMAGES = 10_000

HASHED_SIDE = 16
"""Pixels a side, of an image, by which it is told from another; all of a small one."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of a split.

    Attributes:
        logits: (n, K) float32 on the CPU, of all images or of every so-manieth.
        labels: (n,) int64.
        indices: (n,) places of the images in the split.
        images: how many were seen, kept or not.
        correct: of those.
        right: (images,) whether each of them is decided rightly, kept or not; None of an ensemble.
        source: hash of the images and labels that were seen; empty where it is not known.
    """

    logits: Tensor
    labels: Tensor
    indices: Tensor
    images: int
    correct: int
    right: Tensor | None = None
    source: str = ""


@torch.inference_mode()
def collect(
    predict: Callable[[Batch], Tensor], batches: Iterable[Batch], stride: int
) -> Predictions:
    """Answers to all batches, every `stride`-th image of which is kept."""
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    images, right, source = 0, [], ImagesHash()
    for batch in batches:
        logits = predict(batch).float()
        right.append((logits.argmax(1) == batch.labels).cpu())
        source.add(batch)
        chosen = slice(-images % stride, None, stride)
        images += len(batch.labels)
        parts = (logits[chosen], batch.labels[chosen], batch.indices[chosen])
        kept.append(tuple(part.cpu() for part in parts))  # type: ignore[arg-type]
    logits, labels, indices = (torch.cat(part).clone() for part in zip(*kept, strict=True))
    decided = torch.cat(right)
    correct = int(decided.sum())
    return Predictions(logits, labels, indices, images, correct, decided, source.hexdigest())


class ImagesHash:
    """Hash of labels and images, of large ones by a grid of pixels; of any batch size."""

    def __init__(self) -> None:
        self._labels, self._pixels = hashlib.sha256(), hashlib.sha256()

    def add(self, batch: Batch) -> None:
        """Append the images of a batch."""
        step = -(-batch.images.shape[-1] // HASHED_SIDE)
        pixels = batch.images[..., ::step, ::step].contiguous().cpu()
        self._labels.update(batch.labels.cpu().numpy().data)
        self._pixels.update(pixels.numpy().data)

    def hexdigest(self) -> str:
        """32 hex digits."""
        both = self._labels.digest() + self._pixels.digest()
        return hashlib.sha256(both).hexdigest()[:32]


def check_same_images(*answers: Predictions) -> None:
    """Refuse to compare predictions about unequal images.

    Raises:
        DataError: they are about other images, or in another order.
    """
    first = answers[0]
    for one in answers[1:]:
        unlike = "" not in (one.source, first.source) and one.source != first.source
        if unlike or not torch.equal(one.labels, first.labels):
            raise DataError(
                f"predictions about {one.images} images were to be compared with predictions about "
                f"{first.images} other ones; only models of the same seed and split can be compared"
            )


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
