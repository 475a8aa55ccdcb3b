"""Equal image files in two parts, or in two classes of one part, are named."""

import shutil

import pytest


@pytest.fixture
def folder(pictures, tmp_path):
    return shutil.copytree(pictures, tmp_path / "pictures")


def notes(load, folder, **given):
    return load("imagefolder", root=str(folder), **given).notes


def test_a_folder_of_different_images_has_no_notes(load, folder):
    assert notes(load, folder) == ()


def test_an_image_in_two_classes_is_named_with_both(load, folder):
    shutil.copy(folder / "train" / "cat" / "3.jpg", folder / "train" / "dog" / "copied.jpg")
    (line,) = notes(load, folder)
    assert line.startswith("1 training images are in another class too (")
    assert "train/dog/copied.jpg = train/cat/3.jpg" in line


def test_label_noise_makes_no_contradiction(load, folder):
    shutil.copy(folder / "train" / "cat" / "3.jpg", folder / "train" / "cat" / "copied.jpg")
    (line,) = notes(load, folder, label_noise=0.5)
    assert line.startswith("17 of 34 training labels are replaced (dataset.label_noise)")


def test_an_image_of_training_and_test_is_named_with_both(load, folder):
    shutil.copy(folder / "train" / "cat" / "3.jpg", folder / "val" / "cat" / "copied.jpg")
    (line,) = notes(load, folder)
    assert line.startswith("1 of 10 test images are training images too (")
    assert "val/cat/copied.jpg = train/cat/3.jpg" in line
