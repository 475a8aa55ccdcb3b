"""Rows of data sets."""

import pytest

from kdrun.catalog.datasets import DATASETS, ImageShape
from kdrun.catalog.rows import load_code
from kdrun.data.shapes import known_shape
from tests.data.conftest import options, write_pictures


@pytest.mark.parametrize("name", DATASETS)
def test_the_shape_of_every_data_set_is_known_without_reading_it(name, tmp_path):
    root = str(write_pictures(tmp_path, {"train": 1, "val": 1}))
    shape = known_shape(options(name, root=root))
    assert isinstance(shape, ImageShape)
    assert shape.num_classes == {"cifar100": 100, "imagefolder": 3, "imagenet": 1000}.get(name, 10)


@pytest.mark.parametrize("name", DATASETS)
def test_the_image_size_that_is_asked_for_is_the_one_there_is(name, tmp_path):
    root = str(write_pictures(tmp_path, {"train": 1, "val": 1}))
    assert known_shape(options(name, root=root, image_size=20)).image_size == 20


def test_shapes_that_options_decide_have_code():
    found = [name for name, row in DATASETS.items() if isinstance(row.shape, str)]
    assert found == ["fake", "imagefolder"]
    assert all(callable(load_code(DATASETS[name].shape)) for name in found)
