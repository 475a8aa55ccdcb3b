"""Image shapes of data sets, known without reading them. Imports no torch."""

from kdrun.catalog.datasets import FAKE_IMAGE_SIZE, FOLDER_IMAGE_SIZE, SHAPES, ImageShape
from kdrun.data.readers.image_folders import given_root, list_classes


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
