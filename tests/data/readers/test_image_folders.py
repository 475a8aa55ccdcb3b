import os
import socket
from shutil import copy

import numpy as np
import pytest
from PIL import Image

from kdrun.data.fingerprint import fingerprint
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.data.shapes import known_shape
from kdrun.errors import DataError
from tests.data.conftest import CLASSES, options, write_pictures


def read(root):
    return read_class_folders("imagefolder", str(root))


def test_images_are_listed_in_order_with_their_class(pictures):
    source = read(pictures)
    assert source.class_names == CLASSES
    assert source.train.labels.tolist() == [0] * 11 + [1] * 11 + [2] * 11
    for path, size, label in zip(
        source.train.paths, source.train.sizes, source.train.labels, strict=True
    ):
        file = pictures / path.decode()
        assert file.stat().st_size == size
        assert file.parent == pictures / "train" / CLASSES[label]


def test_without_a_test_folder_val_is_the_test(pictures, load):
    source = read(pictures)
    assert source.validation is None
    assert source.test.paths[0].startswith(b"val/")
    data = load("imagefolder", root=str(pictures), val_fraction=0.2)
    assert (len(data.train), len(data.validation), len(data.test)) == (26, 7, 9)


def test_with_a_test_folder_val_is_the_validation(tmp_path, load):
    write_pictures(tmp_path, {"train": 3, "val": 2, "test": 1})
    data = load("imagefolder", root=str(tmp_path), val_fraction=0.1)
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 6, 3)
    assert load("imagefolder", root=str(tmp_path)).validation is None


def test_the_shape_is_known_without_reading_the_images(tmp_path, load):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    (tmp_path / "train" / ".hidden").mkdir()
    given = {"root": str(tmp_path), "image_size": None}
    shape = known_shape(options("imagefolder", **given))
    assert load("imagefolder", **given).shape == shape


def test_other_files_and_hidden_ones_are_passed_over(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    deeper = tmp_path / "train" / "cat" / "deeper"
    deeper.mkdir()
    (tmp_path / "train" / "cat" / "0.jpg").rename(deeper / "0.JPG")
    (deeper / "notes.txt").write_text("no image")
    (deeper / "._0.jpg").write_text("no image")
    source = read(tmp_path)
    assert source.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert source.train.paths[3] == b"train/cat/deeper/0.JPG"
    assert source.notes == ("skipped 2 files (1 .txt, 1 hidden)",)


@pytest.mark.parametrize(
    "name",
    [
        *(".ipynb_checkpoints", ".Trash-1000", "@eaDir", "#recycle", "$RECYCLE.BIN"),
        *("System Volume Information", "__MACOSX", "lost+found"),
    ],
)
def test_hidden_and_system_folders_are_passed_over_at_every_depth(tmp_path, name):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    plain = read(tmp_path)
    for place in ("train", "val", "train/cat", "train/cat/deeper/still", "val/dog"):
        folder = tmp_path / place / name
        folder.mkdir(parents=True)
        copy(tmp_path / "train" / "bird" / "0.jpg", folder / "0.jpg")
    source = read(tmp_path)
    assert source.class_names == CLASSES
    assert source.train.paths.tolist() == plain.train.paths.tolist()
    assert source.test.paths.tolist() == plain.test.paths.tolist()
    (line,) = source.notes
    assert line.startswith("skipped 5 hidden or system folders (")
    assert f"train/{name}" in line
    assert known_shape(options("imagefolder", root=str(tmp_path))).num_classes == 3


def test_files_of_other_suffixes_are_counted_in_one_line(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    for place in ("train", "train/cat", "val/dog"):
        for name in ("a.heic", "B.HEIC", "c.txt", "README", ".DS_Store"):
            (tmp_path / place / name).write_text("no image")
    assert read(tmp_path).notes == (
        "skipped 15 files (6 .heic, 3 .txt, 3 hidden, 3 without a suffix)",
    )


def test_nothing_is_told_where_nothing_is_passed_over(pictures):
    assert read(pictures).notes == ()


def test_suffixes_are_told_as_they_can_be_printed(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    (tmp_path / "train" / "cat" / "x.\x1b[2J").write_text("no image")
    assert read(tmp_path).notes == ("skipped 1 file (1 .\\x1b[2j)",)


def test_gif_and_jfif_are_read(tmp_path, load):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    with Image.open(tmp_path / "train" / "cat" / "0.jpg") as picture:
        picture.save(tmp_path / "train" / "cat" / "2.gif")
        picture.save(tmp_path / "train" / "cat" / "3.jfif", "JPEG")
    source = read(tmp_path)
    assert source.notes == ()
    assert source.train.labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    data = load("imagefolder", root=str(tmp_path), image_size=16)
    assert sum(len(batch.labels) for batch in data.train.batches(3)) == 8


def remove_train(root):
    (root / "train").rename(root / "learning")


def remove_val(root):
    (root / "val").rename(root / "held")


def empty_class(root):
    for file in (root / "train" / "dog").iterdir():
        file.unlink()


def rename_class(root):
    (root / "val" / "cat").rename(root / "val" / "Cat")


def other_class(root):
    (root / "val" / "cat").rename(root / "val" / "cow")


def empty_file(root):
    (root / "train" / "bird" / "1.jpg").write_bytes(b"")


def broken_link(root):
    (root / "train" / "bird" / "2.jpg").symlink_to("nowhere.jpg")


def pipe(root):
    os.mkfifo(root / "train" / "cat" / "7.png")


def unix_socket(root):
    here = os.getcwd()
    os.chdir(root / "train" / "cat")  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("7.png")
    finally:
        os.chdir(here)


def link_to_device(root):
    (root / "train" / "cat" / "7.png").symlink_to("/dev/zero")


def link_to_above(root):
    (root / "train" / "cat" / "again").symlink_to(root / "train")


def file_as_train(root):
    remove_train(root)
    (root / "train").write_text("no folder")


def empty_train(root):
    remove_train(root)
    (root / "train").mkdir()


@pytest.mark.parametrize(
    ("harm", "named", "remedy"),
    [
        (remove_train, "holds no train/ (it holds learning/, val/)", "must hold train/"),
        (file_as_train, "holds no train/ (it holds learning/, val/)", "must hold train/"),
        (empty_train, "train: holds 0 class folders", "dataset.root must hold train/"),
        (remove_val, "has neither val/ nor test/ (it holds held, train)", "must hold train/"),
        (empty_class, "train/dog: no image in this class folder", "add some, or remove"),
        (other_class, "'cat' is only in train/ (2 differ)", "make the class folders equal"),
        (rename_class, "differs from 'cat' of", "only in upper and lower case; rename it: mv "),
        (empty_file, "train/bird/1.jpg: an empty file", "replace or remove it"),
        (pipe, "train/cat/7.png: a named pipe, not an image file", "remove it"),
        (unix_socket, "train/cat/7.png: a socket, not an image file", "remove it"),
        (link_to_device, "train/cat/7.png: a device, not an image file", "remove it"),
        (link_to_above, "train/cat/again: a link to ", "that encloses it; remove the link"),
        (broken_link, "train/bird/2.jpg: a link to nowhere.jpg", "correct or remove the link"),
    ],
)
def test_a_faulty_folder_is_named_with_the_remedy(tmp_path, harm, named, remedy):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    harm(tmp_path)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    assert named in message
    assert remedy in message


def test_all_empty_files_of_a_part_are_named_at_once(tmp_path):
    write_pictures(tmp_path, {"train": 4, "val": 1})
    for name in ("bird", "cat", "dog"):
        for number in range(4):
            (tmp_path / "train" / name / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"bird/0\.jpg: an empty file, and 11 more \(.*cat/0.*, \.\.\.\)"
    ):
        read(tmp_path)


def test_a_missing_root_key_says_what_to_set():
    with pytest.raises(DataError, match=r"imagefolder: set dataset\.root to a folder that holds"):
        read_class_folders("imagefolder", None)


def test_imagenet_with_other_than_a_thousand_classes_is_refused(pictures, load):
    with pytest.raises(DataError, match=r"imagenet: dataset\.root holds 3 classes, not 1000"):
        load("imagenet", root=str(pictures))


def fingerprint_of(load, root, **changes):
    return load("imagefolder", root=str(root), **changes).fingerprint


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path, load):
    one = write_pictures(tmp_path / "one", {"train": 3, "val": 2})
    two = write_pictures(tmp_path / "two", {"train": 3, "val": 2})
    same = fingerprint_of(load, one)
    assert fingerprint_of(load, two) == same
    with (two / "train" / "cat" / "0.jpg").open("ab") as file:
        file.write(b"x")
    assert fingerprint_of(load, two) != same


def write_bitmaps(root, seed):
    """Files of equal names and sizes for every seed."""
    generator = np.random.default_rng(seed)
    for part, count in (("train", 4), ("val", 2)):
        for name in CLASSES:
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (28, 28), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:04}.bmp")
    return root


def test_images_of_equal_names_and_sizes_have_fingerprints_of_their_own(tmp_path, load):
    one, two = write_bitmaps(tmp_path / "one", 1), write_bitmaps(tmp_path / "two", 2)
    found = [load("imagefolder", root=str(root)) for root in (one, two)]
    assert found[0].older_fingerprint == found[1].older_fingerprint
    assert found[0].fingerprint != found[1].fingerprint
    one.rename(tmp_path / "three")
    two.rename(one)
    assert fingerprint_of(load, one) == found[1].fingerprint
    assert fingerprint_of(load, tmp_path / "three") == found[0].fingerprint


def test_exchanged_images_of_two_classes_have_another_fingerprint(tmp_path, load):
    root = write_bitmaps(tmp_path, 1)
    before = fingerprint_of(load, root)
    (root / "train" / "cat").rename(root / "spare")
    (root / "train" / "dog").rename(root / "train" / "cat")
    (root / "spare").rename(root / "train" / "dog")
    assert fingerprint_of(load, root) != before


def test_the_older_fingerprint_is_the_one_by_paths_and_sizes(tmp_path, load):
    data = load("imagefolder", root=str(write_bitmaps(tmp_path, 1)))
    source = read(tmp_path)
    facts = {"image_size": 224, "class_names": CLASSES, "resized_by": "torch"}
    arrays = [
        array
        for part in (source.train, source.test)
        for array in (
            part.labels,
            np.array([(tmp_path / path.decode()).stat().st_size for path in part.paths]),
            part.paths,
        )
    ]
    assert data.older_fingerprint == fingerprint(facts, arrays)


def test_a_range_of_values_is_part_of_the_fingerprint(pictures, load):
    plain, one, other = (
        fingerprint_of(load, pictures, range=limits) for limits in (None, (0.0, 4095.0), (0.0, 1.0))
    )
    assert len({plain, one, other}) == 3


def test_what_is_only_previewed_is_not_read(pictures, load, monkeypatch):
    def refuse(path, halt):
        raise AssertionError(path)

    monkeypatch.setattr("kdrun.data.file_digests.hash_file", refuse)
    assert known_shape(options("imagefolder", root=str(pictures))).num_classes == 3
    assert load("imagefolder", root=str(pictures), identified=False).fingerprint == ""


def test_images_that_parts_share_are_told_with_their_number(tmp_path, load):
    write_pictures(tmp_path, {"train": 3, "val": 2})
    assert load("imagefolder", root=str(tmp_path)).notes == ()
    copy(tmp_path / "train" / "cat" / "0.jpg", tmp_path / "val" / "cat" / "0.jpg")
    copy(tmp_path / "train" / "dog" / "2.jpg", tmp_path / "val" / "bird" / "9.jpg")
    (line,) = load("imagefolder", root=str(tmp_path)).notes
    assert line.startswith("2 of 7 test images are training images too (")
    assert "val/cat/0.jpg = train/cat/0.jpg" in line
    assert "val/bird/9.jpg = train/dog/2.jpg" in line


def test_paths_are_kept_in_any_encoding(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    odd = tmp_path / "train" / "dog" / "smörgås 犬.jpg"
    (tmp_path / "train" / "dog" / "0.jpg").rename(odd)
    source = read(tmp_path)
    assert str(odd.relative_to(tmp_path)).encode() in source.train.paths.tolist()
    assert source.train.paths.dtype.kind == "S"
    assert np.unique(source.train.paths).size == 6
