"""A split of images held in memory, on the training device."""

from collections.abc import Iterator

import torch
from torch import Tensor

from kdrun.data.augment import draw_crops, take_crops, with_margins, without_margins
from kdrun.data.batch import Batch, num_training_batches
from kdrun.data.counter_random import shuffled


class MemorySplit:
    """Square (N, H, H, C) uint8 images and (N,) int64 labels; see `Split`."""

    def __init__(self, images: Tensor, labels: Tensor, device: torch.device) -> None:
        self.labels = labels
        self._device_labels = labels.to(device)
        self._pixels = with_margins(images).to(device)
        self._images = without_margins(self._pixels, images.shape[1])

    def __len__(self) -> int:
        return len(self.labels)

    def num_batches(self, batch_size: int) -> int:
        """Number of batches of a training pass."""
        return num_training_batches(len(self), batch_size)

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
        """Pass number `order` over view number `view` of the images, starting at batch `start`."""
        places = shuffled(len(self), seed, view if order is None else order).to(self._pixels.device)
        size = self._images.shape[1]
        # For the whole pass at once: such small operations are measurable if done per batch.
        crops = None if augment == "none" else draw_crops(size, places, seed=seed, view=view)
        for number in range(start, self.num_batches(batch_size)):
            begin, end = number * batch_size, (number + 1) * batch_size
            indices = places[begin:end]
            if crops is None:
                images = self._images.index_select(0, indices)
            else:
                flip = augment == "crop_flip"
                images = take_crops(self._pixels, size, crops.part(begin, end), flip=flip)
            yield Batch(images.permute(0, 3, 1, 2), self._device_labels[indices], indices)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All images in order, without augmentation."""
        indices = torch.arange(len(self), device=self._pixels.device)
        parts = (
            all_of.split(batch_size) for all_of in (self._images, self._device_labels, indices)
        )
        for images, labels, places in zip(*parts, strict=True):
            yield Batch(images.contiguous().permute(0, 3, 1, 2), labels, places)
