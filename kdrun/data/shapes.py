"""Image shapes of data sets, without reading the data. Imports no torch."""

from kdrun.catalog.datasets import DATASETS, DatasetOptions, ImageShape
from kdrun.catalog.rows import load_code


def known_shape(options: DatasetOptions) -> ImageShape:
    """The shape of a data set, even before its download; `imagefolder` counts its class folders.

    Raises:
        DataError: the image folder is missing or holds no classes.
    """
    row = DATASETS[options.name]
    shape = row.shape
    if isinstance(shape, str):
        shape = load_code(shape)({**row.arguments, **options.values})
    return ImageShape(shape.num_classes, shape.channels, options.image_size or shape.image_size)
