import os
import re

import pytest

from kdrun.data.digest_index import cache_folder
from kdrun.data.readers.download import data_root
from kdrun.data.readers.folder_layout import find_layout
from kdrun.errors import ConfigError, DataError


def make(root, *folders):
    for folder in folders:
        (root / folder / "cat").mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "val"), {"train": "train", "val": "val"}),
        (("Train", "Valid"), {"train": "Train", "val": "Valid"}),
        (
            ("training", "validation", "testing"),
            {"train": "training", "val": "validation", "test": "testing"},
        ),
        (("TRAIN", "TEST"), {"train": "TRAIN", "test": "TEST"}),
    ],
)
def test_usual_names_of_parts_are_accepted_and_told(tmp_path, folders, parts):
    layout = find_layout("imagefolder", str(make(tmp_path, *folders)))
    assert layout.parts == parts
    told = [f"{name}/ as {part}/" for part, name in parts.items() if name != part]
    assert layout.notes == ((f"reads {', '.join(told)}",) if told else ())


def test_the_usual_name_comes_first_and_the_other_is_told(tmp_path):
    layout = find_layout("imagefolder", str(make(tmp_path, "train", "val", "validation")))
    assert layout.parts == {"train": "train", "val": "val"}
    assert layout.notes == ("skipped validation/: train/, val/ and test/ come first",)


def test_two_folders_that_may_be_one_part_are_refused(tmp_path):
    make(tmp_path, "train", "valid", "Validation")
    with pytest.raises(DataError, match=r"Validation/ and valid/ may both be val/; rename the one"):
        find_layout("imagefolder", str(tmp_path))


@pytest.mark.parametrize("inner", ["data", "data/train", "data/train/cat", "data/val"])
def test_a_root_one_level_off_is_told_with_the_right_one(tmp_path, monkeypatch, inner):
    make(tmp_path / "data", "train", "val")
    given = tmp_path if inner == "data" else tmp_path / inner
    with pytest.raises(DataError) as caught:
        find_layout("imagefolder", str(given))
    assert str(caught.value).endswith(f"dataset.root={tmp_path / 'data'}")
    monkeypatch.chdir(given)
    with pytest.raises(DataError) as caught:
        find_layout("imagefolder", ".")
    line = str(caught.value)
    assert line.startswith(f"dataset.root=. ({given}): ")
    better = line.rpartition("dataset.root=")[2]
    assert os.path.samefile(better, tmp_path / "data")


def test_a_root_without_parts_is_told_with_what_it_holds(tmp_path, monkeypatch):
    make(tmp_path, "cats", "dogs", ".git")
    monkeypatch.chdir(tmp_path)
    line = rf"\Adataset\.root=\. \({re.escape(str(tmp_path))}\): holds no train/ \(it holds cats/, "
    with pytest.raises(DataError, match=line):
        find_layout("imagefolder", ".")


def test_a_root_that_is_no_folder_is_told_with_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.zip").touch()
    with pytest.raises(
        DataError, match=rf"=data\.zip \({re.escape(str(tmp_path))}/.*: Not a dir.*"
    ):
        find_layout("imagefolder", "data.zip")
    with pytest.raises(DataError, match=rf"=there \({re.escape(str(tmp_path))}/there\): No such"):
        find_layout("imagefolder", "there")
    make(tmp_path / "data", "val")
    (tmp_path / "data" / "train").symlink_to("/nowhere/train")
    with pytest.raises(DataError, match="train is a link to /nowhere/train, which is not a folder"):
        find_layout("imagefolder", "data")


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(make(tmp_path, "data/train", "data/val")))
    assert find_layout("imagefolder", "~/data").root == tmp_path / "data"


def test_the_home_folder_of_an_unknown_user_is_told_as_missing(monkeypatch):
    monkeypatch.setenv("KDRUN_CACHE", "~no-such-user/cache")
    for find in (
        lambda: find_layout("imagefolder", "~no-such-user/data"),
        lambda: data_root("~no-such-user"),
        cache_folder,
    ):
        with pytest.raises(ConfigError, match="no user no-such-user has a home folder here; "):
            find()
