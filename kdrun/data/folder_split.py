"""A split whose images are decoded from files by worker processes, batch by batch.

Of augmented images a CUDA device resizes the crops: where it is fast, the run waits for workers,
which should do no more than they must.
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
from kdrun.data.rgb_pixels import ValueRange
from kdrun.data.source import Files
from kdrun.data.worker_processes import process_options, start_server
from kdrun.errors import DataError, first_line

# What torch says when it misses a worker; until then, reading what a dead one sent fails otherwise.
LOST = ("DataLoader worker", "Pin memory thread")


class Requests:
    """What the loader is to make in the present pass; exchanged while its workers live on."""

    def __init__(self) -> None:
        self.present: Iterable[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.present)


class FolderSplit:
    """Image files and (N,) int64 labels; see `Split`.

    Args:
        files: the images.
        labels: to train with.
        image_size: pixels a side of the crops.
        device: where batches go.
        workers: processes that decode; 0 decodes in this one.
        resize_on_device: whether augmented images are resized there; None for on CUDA.
        value_range: of grey levels of more than 8 bits; None where the files tell it.
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
        """Batches of a training pass."""
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
        """Pass number `order` over view number `view` of the images, from batch `start` on.

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
        """All images in order, their centres.

        Raises:
            DataError: a file cannot be decoded, or a worker died.
        """
        parts = torch.arange(len(self)).split(batch_size)
        return self._load(Request(part.tolist(), "none", [0] * len(part)) for part in parts)

    def _load(self, requests: Iterable[Request]) -> Iterator[Batch]:
        if self._passing:  # the workers are at another pass: this one is decoded here
            yield from self._decoded(iter(self._load_with(requests, 0)))
            return
        self._passing, self._requests.present = True, requests
        try:
            yield from self._decoded(_named_failures(self._loader))
        finally:
            self._passing = False

    def _decoded(self, answers: Iterator[Any]) -> Iterator[Batch]:
        for answer in answers:
            if isinstance(answer, Refused):
                told = answer.text
                raise DataError(self._images.unreadable(told) if answer.unreadable else told)
            images, indices = answer
            if isinstance(images, PackedCrops):
                images = squares(images.on(self._device), self._images.image_size)
            images = images.to(self._device, non_blocking=True)
            indices = indices.to(self._device, non_blocking=True)
            yield Batch(images.permute(0, 3, 1, 2), self._device_labels[indices], indices)

    @cached_property
    def _loader(self) -> DataLoader:
        """The workers, started once and kept for all passes."""
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
            # Its own, so that starting a pass draws nothing from the model's generator.
            generator=torch.Generator(),
            **options,
        )


def _named_failures(loader: DataLoader) -> Iterator[Any]:
    """The loader's answers; a dead worker becomes a DataError."""
    try:
        yield from loader
    except (RuntimeError, EOFError, OSError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in LOST):
            raise
        raise DataError(
            f"a worker process that decodes images was lost ({first_line(error)}), perhaps killed "
            "for lack of memory or of space in /dev/shm; set train.workers lower (0: no workers)"
        ) from error
