"""Predictions of a model: logits of each split, in bounded memory."""

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
"""Most logits kept per model and split: 40 MB, 1 000 000 images of 10 classes, 10 000 of 1000."""

MOST_TRAINING_IMAGES = 10_000

HASHED_SIDE = 16
"""Most pixels a side of the grid by which an image is hashed; smaller images are hashed whole."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of a model on a split.

    Attributes:
        logits: (n, K) float32 on the CPU, of every `stride`-th image.
        labels: (n,) int64.
        indices: (n,) places of the images in the split.
        images: number of evaluated images, kept or not.
        correct: number of correctly classified images among them.
        right: (images,) whether each is classified correctly, kept or not; None for an ensemble.
        source: hash of the evaluated images and labels; empty if unknown.
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
    """Predict all batches, keeping the logits of every `stride`-th image."""
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
    """Hash of labels and images, independent of the batch size; large images by a pixel grid."""

    def __init__(self) -> None:
        self._labels, self._pixels = hashlib.sha256(), hashlib.sha256()

    def add(self, batch: Batch) -> None:
        """Append the images of a batch."""
        step = -(-batch.images.shape[-1] // HASHED_SIDE)
        pixels = batch.images[..., ::step, ::step].contiguous().cpu()
        self._labels.update(batch.labels.cpu().numpy().data)
        self._pixels.update(pixels.numpy().data)

    def hexdigest(self) -> str:
        """The hash as 32 hex digits."""
        both = self._labels.digest() + self._pixels.digest()
        return hashlib.sha256(both).hexdigest()[:32]


def check_same_images(*answers: Predictions) -> None:
    """Check that predictions are on the same images.

    Raises:
        DataError: the images or their order differ.
    """
    first = answers[0]
    for one in answers[1:]:
        unlike = "" not in (one.source, first.source) and one.source != first.source
        if unlike or not torch.equal(one.labels, first.labels):
            raise DataError(
                f"cannot compare predictions on {one.images} images with predictions on "
                f"{first.images} other images; only models of the same seed and split can be "
                "compared"
            )


def stride_for(images: int, classes: int) -> int:
    """The smallest stride that keeps at most `MOST_LOGITS` logits."""
    return max(1, -(-images * classes // MOST_LOGITS))


def split_batches(data: ImageData, split: str, batch_size: int) -> Iterator[Batch]:
    """Unaugmented batches of a split; for training images a fixed random sample."""
    if split == "train":
        size = min(batch_size, len(data.train))
        drawn = data.train.train_batches(size, seed=0, view=0, augment="none")
        return islice(drawn, max(1, MOST_TRAINING_IMAGES // size))
    found = data.validation if split == "validation" else data.test
    assert found is not None
    return found.batches(batch_size)


def split_size(data: ImageData, split: str) -> int:
    """Upper bound on the images of `split_batches`; 0 for a missing split."""
    sizes = {
        "train": min(len(data.train), MOST_TRAINING_IMAGES),
        "validation": 0 if data.validation is None else len(data.validation),
        "test": len(data.test),
    }
    return sizes[split]
