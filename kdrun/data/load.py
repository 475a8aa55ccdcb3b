"""Loading a data set by name: read, split, described, fingerprinted."""

import torch

from kdrun.catalog.datasets import SHAPES
from kdrun.data.dataset import ImageData, from_files, from_images
from kdrun.data.readers.digits import read_digits
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.data.readers.mnist import read_mnist
from kdrun.data.readers.synthetic import make_fake
from kdrun.data.readers.torchvision_sets import DOWNLOADS, read_download
from kdrun.data.source import Images, Source
from kdrun.data.splitting import Rules
from kdrun.errors import DataError

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

    Raises:
        DataError: files are missing, damaged or inconsistent, or too few for what is asked.
    """
    rules = Rules(limit, val_fraction, label_noise, seed)
    if name in FOLDER_SETS:
        files = read_class_folders(name, root)
        _check_class_count(name, len(files.class_names))
        return from_files(name, files, rules, image_size, device, workers)
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
