"""The data set of a run: splits, classes, normalisation, fingerprint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from kdrun.catalog.datasets import FOLDER_IMAGE_SIZE, ImageShape
from kdrun.data.batch import Split
from kdrun.data.decoding import RESIZE_RATIO
from kdrun.data.duplicates import duplicate_lines
from kdrun.data.fingerprint import fingerprint
from kdrun.data.folder_split import FolderSplit
from kdrun.data.memory_split import MemorySplit
from kdrun.data.pixels import channel_statistics, resized
from kdrun.data.rgb_pixels import ValueRange
from kdrun.data.source import Files, Images, Source, check_images
from kdrun.data.splitting import SplitOptions, divide
from kdrun.errors import DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageData:
    """The data set of a run.

    Attributes:
        name: one of `DATASETS`.
        train: the training images; labels may be noisy.
        validation: images for model selection, disjoint from training and test; or None.
        test: used once, for the final report.
        class_names: in the order of the labels.
        channels: 1 or 3.
        image_size: height and width.
        mean: per channel of the training images, in [0, 1]; ImageNet's for image files.
        std: standard deviation per channel; ImageNet's for image files.
        fingerprint: hex SHA-256 of all images and labels; for files, of their content and whether
            they are turned by their EXIF orientation. Empty if files were not hashed.
        pool: hex SHA-256 of the images from which training and validation are drawn and of their
            noise-free labels, the same for every seed; None unless all files are hashed.
        memory: whether the images are held in memory.
        notes: lines for the user, such as the number of images shared by two parts.
        older_fingerprint: of files, the fingerprint of older versions, from paths and sizes.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    pool: str | None
    memory: bool
    notes: tuple[str, ...] = ()
    older_fingerprint: str | None = None

    @property
    def shape(self) -> ImageShape:
        """Image shape and number of classes, as needed to build a model."""
        return ImageShape(len(self.class_names), self.channels, self.image_size)

    @property
    def preparation(self) -> str:
        """A description of the preprocessing of evaluation images."""
        square = f"{self.image_size}x{self.image_size}"
        if self.memory:
            return f"images of another size are resized to {square} (bilinear, antialiased)"
        side = round(self.image_size * RESIZE_RATIO)
        return (
            "RGB, turned upright by the EXIF orientation, the shorter side resized to "
            f"{side} pixels (bilinear, antialiased), of which the centre {square} is taken"
        )


def from_images(
    name: str,
    source: Source[Images],
    rules: SplitOptions,
    image_size: int | None,
    device: torch.device,
) -> ImageData:
    """Split images in memory, resize them if `image_size` is given, move them to the device.

    Raises:
        DataError: inconsistent or too few images.
    """
    check_images(name, source)
    parts = divide(name, source, rules)
    size = image_size or parts.train.pixels.shape[1]

    def fit(part: Images) -> Images:
        return replace(part, pixels=resized(part.pixels, size))

    def split(part: Images) -> MemorySplit:
        return MemorySplit(torch.from_numpy(part.pixels), torch.from_numpy(part.labels), device)

    train, test = fit(parts.train), fit(parts.test)
    validation = None if parts.validation is None else fit(parts.validation)
    mean, std = channel_statistics(train.pixels)
    if min(std) == 0:
        raise DataError(f"{name}: the training images are blank in a channel; download them again")
    used = [part for part in (train, validation, test) if part is not None]
    return ImageData(
        name=name,
        train=split(train),
        validation=None if validation is None else split(validation),
        test=split(test),
        class_names=parts.class_names,
        channels=train.pixels.shape[3],
        image_size=size,
        mean=mean,
        std=std,
        fingerprint=fingerprint(
            {"image_size": size, "class_names": parts.class_names},
            [array for part in used for array in (part.labels, part.pixels)],
        ),
        pool=pool_of_images(source),
        memory=True,
        notes=parts.notes,
    )


def from_files(
    name: str,
    source: Source[Files],
    rules: SplitOptions,
    image_size: int | None,
    device: torch.device,
    workers: int,
    value_range: ValueRange | None,
    identify: Callable[[Sequence[Files]], list[Files]] | None,
) -> ImageData:
    """Split image files; worker processes decode them later.

    Args:
        identify: adds the files' digests; None if no fingerprint is needed.

    Raises:
        DataError: too few files, or one that cannot be read.
    """
    parts = divide(name, source, rules)
    size = image_size or FOLDER_IMAGE_SIZE
    titles = ("training", "validation", "test")
    given = zip(titles, (parts.train, parts.validation, parts.test), strict=True)
    used = {title: part for title, part in given if part is not None}
    if identify is not None:
        used = dict(zip(used, identify(list(used.values())), strict=True))

    def split(part: Files) -> FolderSplit:
        labels = torch.from_numpy(part.labels)
        return FolderSplit(part, labels, size, device, workers, value_range=value_range)

    facts = {"image_size": size, "class_names": parts.class_names}
    return ImageData(
        name=name,
        train=split(used["training"]),
        validation=split(used["validation"]) if "validation" in used else None,
        test=split(used["test"]),
        class_names=parts.class_names,
        channels=3,
        image_size=size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        fingerprint="" if identify is None else files_fingerprint(facts, used, value_range),
        pool=pool_of_files(source, used),
        memory=False,
        notes=(*parts.notes, *([] if identify is None else duplicate_lines(used))),
        older_fingerprint=fingerprint(
            facts | {"resized_by": "torch"},
            [array for part in used.values() for array in (part.labels, part.sizes, part.paths)],
        ),
    )


def pool_of_images(source: Source[Images]) -> str:
    """Hash of the pool of training and validation images, with their labels."""
    parts = [part for part in (source.train, source.validation) if part is not None]
    return fingerprint({}, [array for part in parts for array in (part.labels, part.pixels)])


def pool_of_files(source: Source[Files], used: Mapping[str, Files]) -> str | None:
    """Hash of the pool of training and validation files, with their classes.

    Args:
        source: with the original labels.
        used: hashed parts; may cover only some of the files.
    """
    digests: dict[bytes, np.ndarray] = {}
    for title in ("training", "validation"):
        part = used.get(title)
        if part is not None and part.digests is not None:
            digests |= dict(zip(part.paths.tolist(), part.digests, strict=True))
    drawn = [source.train]
    if source.validation is not None and "validation" in used:
        drawn.append(source.validation)
    if any(path not in digests for part in drawn for path in part.paths.tolist()):
        return None
    found = [np.stack([digests[path] for path in part.paths.tolist()]) for part in drawn]
    return fingerprint({}, [*(part.labels for part in drawn), *found])


def files_fingerprint(
    facts: dict[str, Any], parts: Mapping[str, Files], value_range: ValueRange | None
) -> str:
    """Fingerprint of image files: content and labels in order, and the decoding options."""
    decoded = {"resized_by": "torch", "identified_by": "content"}
    scaled = {} if value_range is None else {"range": list(value_range)}
    arrays = [array for part in parts.values() for array in (part.labels, part.digests)]
    return fingerprint(facts | decoded | scaled, [array for array in arrays if array is not None])
