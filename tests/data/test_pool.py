"""The hash of the images that training and validation are drawn from."""

import shutil

import pytest
from PIL import Image


@pytest.fixture
def folder(pictures, tmp_path):
    return shutil.copytree(pictures, tmp_path / "pictures")


def test_the_pool_is_the_same_whatever_the_seed_the_split_and_the_noise(load, pictures):
    splits = [{"seed": seed, "val_fraction": 0.3, "label_noise": 0.2} for seed in (0, 1)]
    for name, where in (("digits", {}), ("imagefolder", {"root": str(pictures)})):
        pools = {load(name, **where, **split).pool for split in splits}
        assert pools == {load(name, **where).pool}


def test_another_image_or_class_makes_another_pool(load, folder):
    def pool():
        return load("imagefolder", root=str(folder), val_fraction=0.3).pool

    before = pool()
    first = sorted((folder / "train" / "cat").iterdir())[0]
    Image.new("RGB", (40, 52), "red").save(first, "JPEG")
    repainted = pool()
    first.rename(folder / "train" / "dog" / "added.jpg")
    assert len({before, repainted, pool()}) == 3


def test_the_test_images_are_no_part_of_the_pool(load, folder):
    before = load("imagefolder", root=str(folder)).pool
    Image.new("RGB", (40, 52), "red").save(sorted((folder / "val" / "cat").iterdir())[0], "JPEG")
    assert load("imagefolder", root=str(folder)).pool == before


def test_a_pool_of_which_only_a_part_is_hashed_is_not_known(load, pictures):
    assert load("imagefolder", root=str(pictures), limit=12).pool is None
    assert load("digits", limit=100).pool == load("digits").pool
