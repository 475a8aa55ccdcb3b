"""Loading a data set by name: read, split, described, fingerprinted."""

from collections.abc import Callable
from functools import partial

import torch

from kdrun.catalog.datasets import SHAPES
from kdrun.data.dataset import ImageData, from_files, from_images
from kdrun.data.file_digests import with_digests
from kdrun.data.readers.digits import read_digits
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.data.readers.mnist import read_mnist
from kdrun.data.readers.synthetic import make_fake
from kdrun.data.readers.torchvision_sets import DOWNLOADS, read_download
from kdrun.data.rgb_pixels import ValueRange
from kdrun.data.source import Images, Source
from kdrun.data.splitting import SplitOptions
from kdrun.errors import DataError
from kdrun.signals import Stop

__all__ = ["ImageData", "load_dataset"]

FOLDER_SETS = ("imagefolder", "imagenet")


def load_dataset(
    name: str,
    *,
    root: str | None,
    image_size: int | None,
    download: bool,
    val_fraction: float,
    limit: int | None,
    label_noise: float,
    seed: int,
    device: torch.device,
    workers: int,
    num_classes: int = 10,
    num_images: int = 2000,
    channels: int = 3,
    value_range: ValueRange | None = None,
    identified: bool = True,
    stop: Stop | None = None,
    say: Callable[[str], None] = print,
) -> ImageData:
    """Read a data set and divide it.

    Args:
        name: one of `DATASETS`.
        root: folder of the files; None for where downloads are kept.
        image_size: pixels a side; None for the data set's own size (224 for image folders).
        download: whether missing files may be fetched.
        val_fraction: share of the training images held out, each class's alike.
        limit: use at most so many training images, and as many test images.
        label_noise: share of the training labels replaced by another class.
        seed: of the limit, the validation split and the noise; the test set is always the same.
        device: where batches go, and where images in memory are held.
        workers: processes that decode image files.
        num_classes: of `fake`, like the next two.
        num_images: training images to make up.
        channels: 1 or 3.
        value_range: of grey levels of more than 8 bits in image files; None where these tell it.
        identified: whether image files are hashed, so that the fingerprint knows their content.
        stop: asked while files are listed and hashed.
        say: takes lines of progress while they are hashed.

    Raises:
        DataError: files are missing, damaged or inconsistent, or too few for what is asked.
        Stopped: `stop` was set.
    """
    rules = SplitOptions(limit, val_fraction, label_noise, seed)
    if name in FOLDER_SETS:
        files = read_class_folders(name, root, stop)
        _check_class_count(name, len(files.class_names))
        identify = partial(with_digests, stop=stop, say=say) if identified else None
        return from_files(name, files, rules, image_size, device, workers, value_range, identify)
    if name == "fake":
        images = make_fake(num_classes, num_images, channels, image_size)
    else:
        images = _read(name, root, download)
    return from_images(name, images, rules, image_size, device)


def _read(name: str, root: str | None, download: bool) -> Source[Images]:
    if name == "digits":
        return read_digits()
    if name in DOWNLOADS:
        return read_download(name, root, download)
    return read_mnist(name, root, download)


def _check_class_count(name: str, found: int) -> None:
    if name in SHAPES and found != SHAPES[name].num_classes:
        raise DataError(
            f"{name}: dataset.root holds {found} classes, not {SHAPES[name].num_classes}; "
            "use dataset=imagefolder for a part of it"
        )
