"""A split of image files, decoded by worker processes batch by batch.

A CUDA device resizes the crops of augmented images itself: with a fast device the workers are the
bottleneck.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from kdrun.data.batch import Batch, num_training_batches
from kdrun.data.counter_random import RandomStream, counter_bits, shuffled
from kdrun.data.crops import PackedCrops, squares
from kdrun.data.decoding import ImageFiles, Refused, Request
from kdrun.data.lost_workers import named_failures
from kdrun.data.rgb_pixels import ValueRange
from kdrun.data.source import Files
from kdrun.data.worker_processes import process_options, start_server
from kdrun.errors import DataError


class Requests:
    """The requests of the current pass; replaced for each pass while the workers live on."""

    def __init__(self) -> None:
        self.present: Iterable[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.present)


class FolderSplit:
    """Image files and (N,) int64 labels; see `Split`.

    Args:
        files: the images.
        labels: used in training.
        image_size: height and width of the crops.
        device: device of the batches.
        workers: number of decoding processes; 0 decodes in this process.
        resize_on_device: whether augmented images are resized there; None: on CUDA only.
        value_range: of grey levels of more than 8 bits; None if the file format defines it.
    """

    def __init__(
        self,
        files: Files,
        labels: Tensor,
        image_size: int,
        device: torch.device,
        workers: int,
        resize_on_device: bool | None = None,
        value_range: ValueRange | None = None,
    ) -> None:
        self.labels = labels
        leave = device.type == "cuda" if resize_on_device is None else resize_on_device
        self._images = ImageFiles(files, image_size, leave_resizing=leave, value_range=value_range)
        self._device = device
        self._device_labels = labels.to(device)
        self._workers = workers
        self._requests = Requests()
        self._passing = False

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
        """Pass number `order` over view number `view` of the images, starting at batch `start`.

        Raises:
            DataError: a file cannot be decoded, or a worker died.
        """
        places = shuffled(len(self), seed, view if order is None else order)

        def requests() -> Iterator[Request]:
            for number in range(start, self.num_batches(batch_size)):
                indices = places[number * batch_size : (number + 1) * batch_size]
                seeds = counter_bits(seed, view, indices, RandomStream.RESIZED_CROP)
                yield Request(indices.tolist(), augment, seeds.tolist())

        return self._load(requests())

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The centre crops of all images, in order.

        Raises:
            DataError: a file cannot be decoded, or a worker died.
        """
        parts = torch.arange(len(self)).split(batch_size)
        return self._load(Request(part.tolist(), "none", [0] * len(part)) for part in parts)

    def _load(self, requests: Iterable[Request]) -> Iterator[Batch]:
        if self._passing:  # the workers are busy with another pass: decode here
            yield from self._decoded(iter(self._load_with(requests, 0)))
            return
        self._passing, self._requests.present = True, requests
        try:
            yield from self._decoded(named_failures(self._loader))
        finally:
            self._passing = False

    def _decoded(self, answers: Iterator[Any]) -> Iterator[Batch]:
        for answer in answers:
            if isinstance(answer, Refused):
                text = answer.text
                raise DataError(self._images.unreadable(text) if answer.unreadable else text)
            images, indices = answer
            if isinstance(images, PackedCrops):
                images = squares(images.on(self._device), self._images.image_size)
            images = images.to(self._device, non_blocking=True)
            indices = indices.to(self._device, non_blocking=True)
            yield Batch(images.permute(0, 3, 1, 2), self._device_labels[indices], indices)

    @cached_property
    def _loader(self) -> DataLoader:
        """The loader with its workers, started once and kept for all passes."""
        return self._load_with(self._requests, self._workers)

    def _load_with(self, requests: Iterable[Request], workers: int) -> DataLoader:
        options = process_options() if workers else {}
        if workers:
            start_server()
        return DataLoader(
            self._images,
            batch_size=None,  # a request is a batch already
            sampler=requests,
            num_workers=workers,
            pin_memory=self._device.type == "cuda",
            # An own generator, so that starting a pass draws nothing from the model's.
            generator=torch.Generator(),
            **options,
        )
