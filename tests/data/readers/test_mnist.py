import gzip

import numpy as np
import pytest
import torch

from kdrun.data.readers.mnist import FILES, PACKAGED, read_mnist
from kdrun.errors import DataError

from .test_idx import idx_bytes


def arrays(train=40, test=20):
    generator = np.random.default_rng(0)
    for count in (train, test):
        yield generator.integers(0, 256, (count, 28, 28), np.uint8)
        yield (np.arange(count) % 10).astype(np.uint8)


def write_mnist(folder, *, pack=bytes, end="", **counts):
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in zip(FILES, arrays(**counts), strict=True):
        (folder / f"{file}{end}").write_bytes(pack(idx_bytes(array)))


@pytest.mark.parametrize("below", [".", "MNIST/raw"])
@pytest.mark.parametrize(("pack", "end"), [(bytes, ""), (gzip.compress, ".gz")])
def test_the_files_are_found_in_every_customary_place(tmp_path, below, pack, end):
    write_mnist(tmp_path / below, pack=pack, end=end)
    source = read_mnist("mnist", str(tmp_path), download=False)
    expected = list(arrays())
    assert np.array_equal(source.train.pixels[..., 0], expected[0])
    assert np.array_equal(source.train.labels, expected[1])
    assert np.array_equal(source.test.pixels[..., 0], expected[2])
    assert np.array_equal(source.test.labels, expected[3])


def test_the_default_place_is_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("KDRUN_DATA", str(tmp_path))
    write_mnist(tmp_path)
    assert len(read_mnist("mnist", None, download=False).train.labels) == 40


def test_nothing_found_lists_the_places_and_the_remedies(tmp_path):
    with pytest.raises(DataError) as caught:
        read_mnist("mnist", str(tmp_path), download=False)
    message = str(caught.value)
    assert str(tmp_path / "MNIST" / "raw") in message
    assert "dataset.root" in message
    assert "dataset.download=true" in message


def test_one_missing_file_among_the_others_is_named(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / FILES[3]).unlink()
    with pytest.raises(DataError, match=f"{FILES[3]}.*missing, though other files are there"):
        read_mnist("mnist", str(tmp_path), download=True)


def test_images_and_labels_of_unequal_number_are_refused(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / FILES[1]).write_bytes(idx_bytes(np.zeros(39, np.uint8)))
    with pytest.raises(DataError, match=r"40 images, but .* holds 39 labels"):
        read_mnist("mnist", str(tmp_path), download=False)


def test_a_label_out_of_range_names_the_image(tmp_path, load):
    write_mnist(tmp_path)
    labels = (np.arange(40) % 10).astype(np.uint8)
    labels[17] = 11
    (tmp_path / FILES[1]).write_bytes(idx_bytes(labels))
    with pytest.raises(DataError, match="mnist: training labels: label 11 of image 17"):
        load("mnist", root=str(tmp_path))


def test_an_empty_set_is_refused(tmp_path, load):
    write_mnist(tmp_path, test=0)
    with pytest.raises(DataError, match="mnist: test labels: there are none"):
        load("mnist", root=str(tmp_path))


def test_a_failed_download_is_one_line_with_the_way_out(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("Error downloading\nmany lines")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", fail)
    with pytest.raises(DataError) as caught:
        read_mnist("mnist", str(tmp_path / "new"), download=True)
    message = str(caught.value)
    assert "\n" not in message
    assert "RuntimeError: Error downloading" in message
    assert FILES[0] in message
    assert "dataset.download=false" in message


def test_what_was_downloaded_is_read(tmp_path, monkeypatch):
    def download(self):
        write_mnist(tmp_path / "MNIST" / "raw")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", download)
    assert len(read_mnist("mnist", str(tmp_path), download=True).test.labels) == 20


@pytest.mark.skipif(
    not PACKAGED["fashion_mnist"][0].is_dir(), reason="dataset-fashion-mnist is not installed"
)
def test_fashion_mnist_is_read_from_the_system_package(tmp_path, load):
    data = load("fashion_mnist", root=str(tmp_path), val_fraction=0.1)
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6000, 10_000)
    assert data.class_names[9] == "Ankle boot"
    assert torch.equal(data.validation.labels.bincount(), torch.full((10,), 600))
    # The constants that everyone uses.
    assert data.mean[0] == pytest.approx(0.2860, abs=1e-3)
    assert data.std[0] == pytest.approx(0.3530, abs=1e-3)
