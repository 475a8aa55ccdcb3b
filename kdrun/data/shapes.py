"""What a data set's images look like, known without reading them. Imports no torch."""

from dataclasses import dataclass

from kdrun.data.class_folders import given_root, list_classes

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


def known_shape(
    name: str, *, root: str | None, image_size: int | None, num_classes: int, channels: int
) -> ImageShape:
    """The shape of a data set that need not be there; `imagefolder` counts its class folders.

    Raises:
        DataError: the image folder is missing or holds no classes.
    """
    if name == "fake":
        shape = ImageShape(num_classes, channels, FAKE_IMAGE_SIZE)
    elif name == "imagefolder":
        shape = ImageShape(
            len(list_classes(given_root(name, root) / "train")), 3, FOLDER_IMAGE_SIZE
        )
    else:
        shape = SHAPES[name]
    return ImageShape(shape.num_classes, shape.channels, image_size or shape.image_size)
