"""A batch, and the protocol of a data split: labels, and passes over its images in batches."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """N images on the training device.

    Attributes:
        images: (N, C, H, W) uint8, in channels_last memory.
        labels: (N,) int64.
        indices: (N,) int64 positions of the images in their split.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor


class Split(Protocol):
    """Training, validation or test images; one pass at a time.

    Attributes:
        labels: (N,) int64 on the CPU, including label noise.
    """

    labels: Tensor

    def __len__(self) -> int: ...

    def num_batches(self, batch_size: int) -> int:
        """Number of batches of a training pass."""
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
        """A shuffled pass over the augmented images, starting at batch number `start`.

        The order depends only on (seed, order), where `order` defaults to `view`; the augmentation
        of an image only on (seed, view, index).
        The last batch may be smaller; a last batch of one image is dropped.
        """
        ...

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All images in order, without augmentation."""
        ...


def num_training_batches(count: int, batch_size: int) -> int:
    """Number of batches of a training pass; a last batch of one image would break BatchNorm."""
    return count // batch_size + (count % batch_size > 1)
