import numpy as np
import pytest
import torch
from PIL import Image

from kdrun.data.pixels import channel_statistics, resized
from kdrun.data.readers.digits import read_digits
from kdrun.data.shapes import known_shape
from kdrun.data.source import Images, Source, check_images
from kdrun.errors import DataError
from tests.data.conftest import options


def images_of(split):
    return torch.cat([batch.images for batch in split.batches(100)])


def test_digits_are_scikit_learns_with_a_quarter_for_the_test(load):
    from sklearn.datasets import load_digits

    data = load("digits")
    assert (len(data.train), len(data.test)) == (1348, 449)
    assert data.validation is None
    grey = torch.cat([images_of(data.train), images_of(data.test)])
    expected = (load_digits().images * 255 / 16).round().astype(int)
    assert sorted(map(bytes, grey.numpy())) == sorted(map(bytes, expected.astype("uint8")))
    shares = data.test.labels.bincount() / (
        data.test.labels.bincount() + data.train.labels.bincount()
    )
    assert torch.all((shares - 0.25).abs() < 0.01)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("digits", {}),
        ("digits", {"image_size": 16}),
        ("fake", {"num_classes": 7, "channels": 1}),
        ("fake", {"image_size": 20}),
    ],
)
def test_the_shape_is_known_without_reading_the_data(load, name, given):
    data = load(name, **given)
    assert data.shape == known_shape(options(name, **given))
    assert images_of(data.test).shape[1:] == (data.channels, data.image_size, data.image_size)


def test_the_statistics_are_those_of_the_training_images(load):
    data = load("fake", val_fraction=0.2, image_size=16)
    pixels = images_of(data.train).double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_statistics_do_not_depend_on_the_order_of_the_images():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), np.uint8)
    assert channel_statistics(pixels) == channel_statistics(np.ascontiguousarray(pixels[::-1]))


@pytest.mark.parametrize("size", [5, 8, 13])
def test_resizing_matches_pillows_to_within_one_grey_level(size):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 10, 10, 3), np.uint8)
    expected = [
        np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
        for image in pixels
    ]
    difference = resized(pixels, size).astype(int) - np.stack(expected).astype(int)
    assert np.abs(difference).max() <= 1


def test_resizing_in_chunks_is_resizing_each_image(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 10, 10, 1), np.uint8)
    whole = resized(pixels, 6)
    monkeypatch.setattr("kdrun.data.pixels.CHUNK", 3)
    assert np.array_equal(resized(pixels, 6), whole)


CHANGES = {
    "seed": {"seed": 1},
    "noise": {"label_noise": 0.1},
    "limit": {"limit": 500},
    "split": {"val_fraction": 0.3},
    "size": {"image_size": 9},
}


def test_the_fingerprint_changes_with_whatever_changes_the_data(load):
    plain = {"val_fraction": 0.2}
    found = [load("digits", **plain | change).fingerprint for change in CHANGES.values()]
    found.append(load("digits", **plain).fingerprint)
    assert len(set(found)) == len(found)
    assert all(len(fingerprint) == 64 for fingerprint in found)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("array", ["pixels", "labels"])
def test_one_other_pixel_or_label_makes_another_fingerprint(load, monkeypatch, part, array):
    source = read_digits()
    before = load("digits").fingerprint
    changed = getattr(getattr(source, part), array)
    changed[(7,) + (3,) * (changed.ndim - 2) + (0,) * (changed.ndim > 1)] ^= 1
    monkeypatch.setattr("kdrun.data.readers.digits.read_digits", lambda: source)
    assert load("digits").fingerprint != before


def test_the_fingerprint_does_not_change_with_where_the_data_are(load, tmp_path):
    here, there = load("digits"), load("digits", root=str(tmp_path), workers=3, download=True)
    assert here.fingerprint == there.fingerprint


def test_the_fingerprint_is_the_one_it_has_always_been(load):
    # Finished stages and cached teacher outputs are found again by it.
    assert load("digits", val_fraction=0.1, label_noise=0.1).fingerprint == (
        "ed7615610300054614d3bffa3d5a6d61a3c800b82f70a7b9b6d9f3fd986ba725"
    )


def test_fake_images_can_be_told_apart_by_their_class_means(load):
    data = load("fake", num_classes=20, num_images=400)
    train, test = images_of(data.train).float(), images_of(data.test).float()
    means = torch.stack([train[data.train.labels == c].mean(0) for c in range(20)])
    nearest = torch.cdist(test.flatten(1), means.flatten(1)).argmin(1)
    assert torch.equal(nearest, data.test.labels)


def test_fake_images_are_the_same_for_every_seed(load):
    assert load("fake").fingerprint == load("fake", seed=5).fingerprint


def make_source(train, test=None):
    return Source(train, None, test or train, ("a", "b"))


def images(shape=(4, 6, 6, 3), labels=(0, 1, 0, 1)):
    return Images(np.zeros(shape, np.uint8), np.array(labels, dtype=np.int64))


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (make_source(images(shape=(3, 6, 6, 3))), "x: 3 training images, but 4 labels"),
        (make_source(images(shape=(4, 6, 5, 3))), "training images are 6 x 5 x 3; must be square"),
        (make_source(images(shape=(4, 6, 6, 2))), "training images are 6 x 6 x 2; must be"),
        (make_source(images(labels=(0, 1, 2, 0))), "label 2 of image 2 is not from 0 to 1"),
        (make_source(images(labels=(0, -1, 1, 0))), "label -1 of image 1 is not from 0 to 1"),
        (make_source(images((0, 6, 6, 3), ())), "training labels: there are none"),
        (make_source(images(), images(shape=(4, 7, 7, 3))), r"training images are \(6, 6, 3\)"),
    ],
)
def test_inconsistent_images_are_refused(source, fault):
    with pytest.raises(DataError, match=fault):
        check_images("x", source)


def test_blank_images_are_refused(load, monkeypatch):
    monkeypatch.setattr("kdrun.data.readers.digits.read_digits", lambda: make_source(images()))
    with pytest.raises(DataError, match="digits: the training images are blank in a channel"):
        load("digits")


def test_importing_the_names_and_shapes_imports_no_torch():
    import subprocess
    import sys

    code = "import sys, kdrun.catalog.datasets, kdrun.data.shapes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_loader_imports_no_torchvision():
    import subprocess
    import sys

    code = "import sys, kdrun.data.load; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
