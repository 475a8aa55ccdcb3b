"""Loading a data set by name: read, split, described, fingerprinted."""

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
    """Read a data set and divide it.

    Args:
        options: the data set, and what its reader is told.
        split: the images that are used, and how they are divided.
        device: where batches go, and where images in memory are held.
        workers: processes that decode image files.
        identified: whether image files are hashed, so that the fingerprint knows their content.
        stop: asked while files are listed and hashed.
        say: takes lines of progress while they are hashed.

    Raises:
        DataError: files are missing, damaged or inconsistent, or too few for what is asked.
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
