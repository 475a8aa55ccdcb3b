"""Loading of a data set by name: reading, splitting, fingerprint."""

from collections.abc import Callable
from functools import partial

import torch

from kdrun.catalog.datasets import DATASETS, DatasetOptions, ImageShape
from kdrun.data.dataset import ImageData, from_files, from_images
from kdrun.data.file_digests import with_digests
from kdrun.data.splitting import SplitOptions
from kdrun.errors import DataError
from kdrun.signals import Stop

__all__ = ["ImageData", "load_dataset"]


def load_dataset(
    options: DatasetOptions,
    split: SplitOptions,
    *,
    device: torch.device,
    workers: int,
    identified: bool = True,
    stop: Stop | None = None,
    say: Callable[[str], None] = print,
) -> ImageData:
    """Read a data set and split it.

    Args:
        options: name of the data set, and options of its reader.
        split: selection and split of the images.
        device: device of the batches, and of images held in memory.
        workers: number of processes that decode image files.
        identified: whether image files are hashed, so that the fingerprint covers their content.
        stop: polled while files are listed and hashed.
        say: prints lines of progress of the hashing.

    Raises:
        DataError: files are missing, damaged, inconsistent or too few.
        Stopped: `stop` was set.
    """
    name, size, values = options.name, options.image_size, dict(options.values)
    row = DATASETS[name]
    if not row.files:
        return from_images(name, row.load()(**row.arguments, **values), split, size, device)
    limits = values.pop("range")
    files = row.load()(**row.arguments, **values, stop=stop)
    if isinstance(row.shape, ImageShape):
        _check_class_count(name, len(files.class_names), row.shape.num_classes)
    value_range = None if limits is None else (limits[0], limits[1])
    identify = partial(with_digests, stop=stop, say=say) if identified else None
    return from_files(name, files, split, size, device, workers, value_range, identify)


def _check_class_count(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise DataError(
            f"{name}: dataset.root holds {found} classes, not {expected}; "
            "use dataset=imagefolder for a part of it"
        )
