import numpy as np
import pytest

from kdrun.data.readers.image_folders import read_class_folders
from kdrun.data.shapes import known_shape
from kdrun.errors import DataError
from tests.data.conftest import CLASSES, write_pictures


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
    shape = known_shape("imagefolder", num_classes=10, channels=1, **given)
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


def remove_train(root):
    (root / "train").rename(root / "training")


def remove_val(root):
    (root / "val").rename(root / "valid")


def empty_class(root):
    for file in (root / "train" / "dog").iterdir():
        file.unlink()


def rename_class(root):
    (root / "val" / "cat").rename(root / "val" / "Cat")


def empty_file(root):
    (root / "train" / "bird" / "1.jpg").write_bytes(b"")


def broken_link(root):
    (root / "train" / "bird" / "2.jpg").symlink_to("nowhere.jpg")


def file_as_train(root):
    remove_train(root)
    (root / "train").write_text("no folder")


def empty_train(root):
    remove_train(root)
    (root / "train").mkdir()


@pytest.mark.parametrize(
    ("harm", "named", "remedy"),
    [
        (remove_train, "train: No such file", "dataset.root must be a folder that holds train/"),
        (file_as_train, "train: Not a directory", "dataset.root must be a folder"),
        (empty_train, "train: holds 0 class folders", "dataset.root must hold train/"),
        (remove_val, "has neither val/ nor test/", "dataset.root must hold train/"),
        (empty_class, "train/dog: no image in this class folder", "add some, or remove"),
        (rename_class, "'Cat' is only in val/", "make the class folders equal"),
        (empty_file, "train/bird/1.jpg: an empty file", "replace or remove it"),
        (broken_link, "train/bird/2.jpg: No such file", "make it readable or remove it"),
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


def test_the_fingerprint_follows_files_and_not_their_place(tmp_path, load):
    one = write_pictures(tmp_path / "one", {"train": 3, "val": 2})
    two = write_pictures(tmp_path / "two", {"train": 3, "val": 2})

    def fingerprint(root):
        return load("imagefolder", root=str(root)).fingerprint

    assert fingerprint(one) == fingerprint(two)
    with (two / "train" / "cat" / "0.jpg").open("ab") as file:
        file.write(b"x")
    assert fingerprint(one) != fingerprint(two)
    (one / "val" / "dog" / "0.jpg").rename(one / "val" / "dog" / "7.jpg")
    assert len({fingerprint(one), fingerprint(two)}) == 2


def test_paths_are_kept_in_any_encoding(tmp_path):
    write_pictures(tmp_path, {"train": 2, "val": 1})
    odd = tmp_path / "train" / "dog" / "smörgås 犬.jpg"
    (tmp_path / "train" / "dog" / "0.jpg").rename(odd)
    source = read(tmp_path)
    assert str(odd.relative_to(tmp_path)).encode() in source.train.paths.tolist()
    assert source.train.paths.dtype.kind == "S"
    assert np.unique(source.train.paths).size == 6
