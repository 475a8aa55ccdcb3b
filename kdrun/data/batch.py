"""A batch, and the protocol of a split: labels, and passes over its images in batches."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """N images on the training device.

    Attributes:
        images: (N, C, H, W) uint8, in channels_last memory.
        labels: (N,) int64.
        indices: (N,) int64, the images' places in their split.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


class Split(Protocol):
    """The training, validation or test images; one pass at a time.

    Attributes:
        labels: (N,) int64 on the CPU, as trained with: label noise included.
    """

    labels: Tensor

    def __len__(self) -> int: ...

    def num_batches(self, batch_size: int) -> int:
        """Batches of a training pass."""
        ...

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        view: int,
        augment: str,
        order: int | None = None,
        start: int = 0,
    ) -> Iterator[Batch]:
        """A shuffled pass over the augmented images, from batch number `start` on.

        The order depends on (seed, order) alone, where `order` is the view's number if not given;
        the view of an image on (seed, view, index) alone.
        The last batch may be smaller; a single left-over image is left out.
        """
        ...

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All images in order, as they are."""
        ...


def num_training_batches(count: int, batch_size: int) -> int:
    """Batches of a training pass; BatchNorm cannot train on a last batch of one image."""
    return count // batch_size + (count % batch_size > 1)
