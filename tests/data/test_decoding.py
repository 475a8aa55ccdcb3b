"""Decoding in a run: deep grey levels, very long images, and files that change meanwhile."""

import os
import re

import numpy as np
import pytest
import torch
from PIL import Image

from kdrun.data.decoding import LONGEST, middle
from kdrun.data.file_digests import with_digests
from kdrun.data.folder_split import FolderSplit
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.errors import DataError

from .conftest import write_pictures
from .test_folder_split import CPU, make_split


def test_grey_levels_of_16_bits_give_the_images_of_8(tmp_path):
    write_pictures(tmp_path, {"train": 1, "val": 1})
    levels = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    for name, picture in (("bird", levels), ("cat", levels.astype(np.uint16) * 257)):
        (tmp_path / "train" / name / "0.jpg").unlink()
        Image.fromarray(picture).save(tmp_path / "train" / name / "0.png")
    one, other, _ = next(make_split(tmp_path).batches(3)).images
    assert torch.equal(one, other)
    assert one.float().std() > 10


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unknown_range_is_told_with_the_setting(tmp_path, workers):
    write_pictures(tmp_path, {"train": 1, "val": 1})
    Image.fromarray(np.full((30, 30), 900, np.int32)).save(tmp_path / "train" / "cat" / "1.tif")
    line = rf"\A{re.escape(str(tmp_path))}/train/cat/1\.tif: mode I .*dataset\.range=\[0,4095\]\Z"
    with pytest.raises(DataError, match=line):
        list(make_split(tmp_path, workers).batches(2))


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1), (3, 50_000)])
def test_of_a_very_long_image_the_middle_is_read(tmp_path, size):
    write_pictures(tmp_path, {"train": 1, "val": 1})
    width, height = size
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 2 - 9 : height // 2 + 9, width // 2 - 9 : width // 2 + 9] = 255
    (tmp_path / "train" / "bird" / "0.jpg").unlink()
    Image.fromarray(pixels).save(tmp_path / "train" / "bird" / "0.png")
    split = make_split(tmp_path)
    assert torch.all(next(split.batches(1)).images == 255)
    assert middle(torch.zeros(3, height, width)).numel() <= 3 * (LONGEST * min(size) + 1) * min(
        size
    )
    for augment in ("crop", "none"):
        batch = next(split.train_batches(3, seed=0, view=0, augment=augment))
        assert batch.images.shape == (3, 3, 24, 24)


def test_the_middle_has_the_centre_of_the_whole_image():
    for length in (41, 42, 99, 100):
        image = torch.arange(length).repeat(3, 10, 1)
        assert middle(image)[0, 0].float().mean() == image[0, 0].float().mean()
    assert middle(torch.zeros(3, 10, 40)).shape == (3, 10, 40)


def digested_split(root, workers=0):
    (files,) = with_digests([read_class_folders("imagefolder", str(root)).train], None, print)
    return FolderSplit(files, torch.from_numpy(files.labels), 24, CPU, workers)


def same_times(path, content):
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("training", [True, False])
def test_an_image_that_changes_during_a_run_is_named(tmp_path, workers, training):
    write_pictures(tmp_path, {"train": 3, "val": 1})
    split = digested_split(tmp_path, workers)
    assert sum(len(batch.labels) for batch in split.batches(2)) == 9
    file = tmp_path / "train" / "cat" / "1.jpg"
    other = (tmp_path / "train" / "dog" / "1.jpg").read_bytes()
    same_times(file, other[: file.stat().st_size].ljust(file.stat().st_size, b"\0"))
    line = rf"\A{re.escape(str(file))}: changed since the run began; .* start a new run\Z"
    augmented = split.train_batches(3, seed=0, view=0, augment="crop")
    with pytest.raises(DataError, match=line):
        list(augmented if training else split.batches(2))


def test_an_image_that_is_only_touched_or_copied_back_is_read_on(tmp_path):
    write_pictures(tmp_path, {"train": 3, "val": 1})
    split = digested_split(tmp_path)
    before = torch.cat([batch.images for batch in split.batches(4)])
    one, other = (tmp_path / "train" / "cat" / name for name in ("0.jpg", "1.jpg"))
    os.utime(one)
    content = other.read_bytes()
    other.unlink()
    other.write_bytes(content)
    assert torch.equal(torch.cat([batch.images for batch in split.batches(4)]), before)


def test_an_image_that_becomes_a_pipe_is_refused_and_does_not_hang(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    split = digested_split(tmp_path)
    file = tmp_path / "train" / "cat" / "0.jpg"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match=r"cat/0\.jpg: a named pipe, not an image file"):
        list(split.batches(2))
