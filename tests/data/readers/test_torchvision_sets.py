import hashlib
import pickle
from urllib.error import URLError

import numpy as np
import pytest
from scipy.io import savemat
from torchvision import datasets

from kdrun.errors import DataError

COUNT = 40


def pixels(name, count=COUNT):
    seed = int.from_bytes(name.encode()[:4], "big")
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), np.uint8)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(root, monkeypatch, *, kind, key, classes):
    """A tiny CIFAR that torchvision takes for the real one."""
    labels = [number % classes for number in range(COUNT)]
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    lists = {}
    for attribute in ("train_list", "test_list"):
        lists[attribute] = []
        for file, _ in getattr(kind, attribute):
            data = pixels(file).reshape(COUNT, -1)
            (folder / file).write_bytes(pickle.dumps({"data": data, key: labels}))
            lists[attribute].append([file, md5(folder / file)])
        monkeypatch.setattr(kind, attribute, lists[attribute])
    meta = folder / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: [f"name {c}" for c in range(classes)]}))
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
    return folder


def write_svhn(root, monkeypatch):
    split_list = dict(datasets.SVHN.split_list)
    for split, (url, file, _) in datasets.SVHN.split_list.items():
        labels = (np.arange(COUNT) % 10)[:, None]
        labels[labels == 0] = 10  # as in the real files
        savemat(root / file, {"X": pixels(file).transpose(2, 3, 1, 0), "y": labels})
        split_list[split] = [url, file, md5(root / file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)


def first_test_image(data):
    return next(iter(data.test.batches(1))).images[0].numpy()


@pytest.mark.parametrize(
    ("name", "kind", "key", "classes", "parts"),
    [
        ("cifar10", datasets.CIFAR10, "labels", 10, 5),
        ("cifar100", datasets.CIFAR100, "fine_labels", 20, 1),
    ],
)
def test_cifar_is_read_from_its_folder(
    load, tmp_path, monkeypatch, name, kind, key, classes, parts
):
    write_cifar(tmp_path, monkeypatch, kind=kind, key=key, classes=classes)
    data = load(name, root=str(tmp_path))
    assert (len(data.train), len(data.test)) == (parts * COUNT, COUNT)
    assert data.class_names == tuple(f"name {c}" for c in range(classes))
    assert data.shape.channels == 3
    assert data.image_size == 32
    assert np.array_equal(first_test_image(data), pixels(kind.test_list[0][0])[0])


def test_svhn_is_read_from_its_files(load, tmp_path, monkeypatch):
    write_svhn(tmp_path, monkeypatch)
    data = load("svhn", root=str(tmp_path), val_fraction=0.25)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 40)
    assert data.test.labels[:11].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert np.array_equal(first_test_image(data), pixels("test_32x32.mat")[0])


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_missing_or_damaged_file_names_the_layout_and_the_remedies(
    load, tmp_path, monkeypatch, harm
):
    folder = write_cifar(tmp_path, monkeypatch, kind=datasets.CIFAR10, key="labels", classes=10)
    file = folder / "data_batch_3"
    if harm == "missing":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[1000] ^= 1
        file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load("cifar10", root=str(tmp_path))
    message = str(caught.value)
    assert "\n" not in message
    for part in ("cifar-10-batches-py/", str(tmp_path), "dataset.root", "dataset.download=true"):
        assert part in message


def test_a_failed_download_is_one_line_with_the_way_out(load, tmp_path, monkeypatch):
    def fail(self):
        raise URLError("no route\nto host")

    monkeypatch.setattr(datasets.CIFAR10, "download", fail)
    with pytest.raises(DataError) as caught:
        load("cifar10", root=str(tmp_path / "new"), download=True)
    message = str(caught.value)
    assert "\n" not in message
    assert "URLError: <urlopen error no route" in message
    assert "cifar-10-batches-py/" in message
    assert "dataset.download=false" in message


def test_intact_files_are_not_downloaded_again(load, tmp_path, monkeypatch):
    write_svhn(tmp_path, monkeypatch)

    def fail(self):
        raise AssertionError("downloaded")

    monkeypatch.setattr(datasets.SVHN, "download", fail)
    assert len(load("svhn", root=str(tmp_path), download=True).train) == COUNT


def test_what_was_downloaded_is_read(load, tmp_path, monkeypatch):
    def download(self):
        if not (tmp_path / "train_32x32.mat").exists():
            write_svhn(tmp_path, monkeypatch)

    monkeypatch.setattr(datasets.SVHN, "download", download)
    assert len(load("svhn", root=str(tmp_path), download=True).train) == COUNT


def test_a_root_that_cannot_be_written_is_a_data_error(load, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(DataError, match=r"the download to .* failed"):
        load("cifar100", root=str(blocked / "below"), download=True)
