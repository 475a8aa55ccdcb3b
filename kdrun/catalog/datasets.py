"""Data sets and augmentations by name, and image shapes. Imports no torch."""

from dataclasses import dataclass

DATASETS = (
    "cifar10",
    "cifar100",
    "digits",
    "fake",
    "fashion_mnist",
    "imagefolder",
    "imagenet",
    "mnist",
    "svhn",
)
AUGMENTATIONS = ("none", "crop", "crop_flip")

FAKE_IMAGE_SIZE = 32
FOLDER_IMAGE_SIZE = 224


@dataclass(frozen=True)
class ImageShape:
    """Square images of `channels` and `image_size` pixels a side, in `num_classes` classes."""

    num_classes: int
    channels: int
    image_size: int


SHAPES = {
    "cifar10": ImageShape(10, 3, 32),
    "cifar100": ImageShape(100, 3, 32),
    "digits": ImageShape(10, 1, 8),
    "fashion_mnist": ImageShape(10, 1, 28),
    "imagenet": ImageShape(1000, 3, FOLDER_IMAGE_SIZE),
    "mnist": ImageShape(10, 1, 28),
    "svhn": ImageShape(10, 3, 32),
}
