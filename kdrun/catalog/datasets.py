"""Data sets and augmentations by name, and image shapes. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdrun.catalog.rows import Row

AUGMENTATIONS = ("none", "crop", "crop_flip")

FAKE_IMAGE_SIZE = 32
FOLDER_IMAGE_SIZE = 224


@dataclass(frozen=True)
class ImageShape:
    """Shape of square images: channels, pixels per side, and the number of classes."""

    num_classes: int
    channels: int
    image_size: int


@dataclass(frozen=True, kw_only=True)
class DatasetRow(Row):
    """A data set; its code reads images in memory or lists image files.

    Attributes:
        shape: shape of the images, or code of a function that returns it for the options' values.
        files: whether the data set consists of image files; its code then also takes `stop`.
    """

    shape: ImageShape | str
    files: bool = False

    @property
    def option_names(self) -> tuple[str, ...]:
        """Return the names of its options; for image files also the one that scales pixels."""
        return (*super().option_names, *(("range",) if self.files else ()))


@dataclass(frozen=True)
class DatasetOptions:
    """A chosen data set.

    Attributes:
        image_size: pixels per side; None for the data set's own size.
        values: values of the options that its row reads.
    """

    name: str
    image_size: int | None
    values: Mapping[str, Any]


_READERS = "kdrun.data.readers"
_PLACE = ("root", "download")


def _torchvision(name: str, shape: ImageShape) -> DatasetRow:
    code = f"{_READERS}.torchvision_sets:read_download"
    return DatasetRow(code=code, arguments={"name": name}, reads=_PLACE, shape=shape)


def _mnist(name: str) -> DatasetRow:
    code, shape = f"{_READERS}.mnist:read_mnist", ImageShape(10, 1, 28)
    return DatasetRow(code=code, arguments={"name": name}, reads=_PLACE, shape=shape)


def _folders(name: str, shape: ImageShape | str) -> DatasetRow:
    code = f"{_READERS}.image_folders:read_class_folders"
    return DatasetRow(code=code, arguments={"name": name}, reads=("root",), shape=shape, files=True)


DATASETS: dict[str, DatasetRow] = {
    "cifar10": _torchvision("cifar10", ImageShape(10, 3, 32)),
    "cifar100": _torchvision("cifar100", ImageShape(100, 3, 32)),
    "digits": DatasetRow(code=f"{_READERS}.digits:read_digits", shape=ImageShape(10, 1, 8)),
    "fake": DatasetRow(
        code=f"{_READERS}.synthetic:make_fake",
        reads=("num_classes", "num_images", "channels", "image_size"),
        shape=f"{_READERS}.synthetic:fake_shape",
    ),
    "fashion_mnist": _mnist("fashion_mnist"),
    "imagefolder": _folders("imagefolder", f"{_READERS}.image_folders:folder_shape"),
    "imagenet": _folders("imagenet", ImageShape(1000, 3, FOLDER_IMAGE_SIZE)),
    "mnist": _mnist("mnist"),
    "svhn": _torchvision("svhn", ImageShape(10, 3, 32)),
}


def dataset_options(section: Any) -> DatasetOptions:
    """Return the data set named by a section `dataset`, with the options that its row reads."""
    row = DATASETS[section.name]
    return DatasetOptions(section.name, section.image_size, row.values(section))
