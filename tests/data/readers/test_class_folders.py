"""Names of class folders that look alike, and links in image folders."""

import os
import subprocess
import unicodedata

import pytest
from PIL import Image

from kdrun.data.readers.class_folders import alike
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.errors import DataError

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def make(root, **parts):
    for part, names in parts.items():
        for name in names:
            folder = root / part / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / f"{part}{len(os.listdir(root / part))}.png")
    return root


def read(root):
    return read_class_folders("imagefolder", str(root))


def fault(root):
    with pytest.raises(DataError) as caught:
        read(root)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("ours", "theirs", "form"),
    [
        (NFC, NFD, "their Unicode form"),
        (NFD, NFC, "their Unicode form"),
        ("Cat", "cat", "upper and lower case"),
        ("ÉTÉ", unicodedata.normalize("NFD", "été"), "upper and lower case"),
        ("big cat", "bigcat ", "spaces"),
        ("cat", "ｃａｔ", "the width of their letters"),
    ],
)
def test_classes_that_differ_in_form_between_parts_are_renamed_by_the_command(
    tmp_path, ours, theirs, form
):
    make(tmp_path, train=[ours, "dog"], val=[theirs, "dog"])
    line = fault(tmp_path)
    assert f"only in {form}; rename it: mv " in line
    subprocess.run(["bash", "-c", line.partition("rename it: ")[2]], check=True)
    assert set(read(tmp_path).class_names) == {ours, "dog"}


def test_a_second_form_of_a_class_is_merged_by_the_command(tmp_path):
    make(tmp_path, train=["cat", "dog"], val=["cat", "Cat", "dog"])
    line = fault(tmp_path)
    assert "class 'Cat' differs from 'cat' of" in line
    subprocess.run(["bash", "-c", line.partition("images there: ")[2]], check=True)
    assert len(read(tmp_path).test.labels) == 3


def test_one_name_in_two_unicode_forms_of_one_part_is_refused(tmp_path):
    make(tmp_path, train=[NFD, NFC], val=[NFD, NFC])
    line = fault(tmp_path)
    assert f"train: two classes named '{NFC}' differ in their Unicode form only; make them" in line
    for part in ("train", "val"):
        command = line.partition("every part: ")[2].replace("/train/", f"/{part}/")
        subprocess.run(["bash", "-c", command], check=True)
        assert os.listdir(tmp_path / part) == [NFC]


def test_classes_of_one_part_that_differ_in_case_are_told(tmp_path):
    make(tmp_path, train=["a", "A", "b"], val=["a", "A", "b"])
    source = read(tmp_path)
    assert source.class_names == ("A", "a", "b")
    (line,) = source.notes
    assert line.startswith("classes 'A' and 'a' differ only in upper and lower case: if they are")


def test_different_names_are_not_alike():
    names = ["cat", "cats", "ca t1", "dog", "cafe", NFC]
    assert alike(names, names) == []


def test_a_class_name_that_is_not_utf8_is_refused_with_a_command(tmp_path):
    make(tmp_path, train=["b"], val=["b"])
    for part in ("train", "val"):
        folder = os.fsencode(tmp_path / part) + b"/caf\xe9"
        os.mkdir(folder)
        Image.new("RGB", (8, 8)).save(os.fsdecode(folder + b"/0.png"))
    line = fault(tmp_path)
    line.encode()
    assert "not UTF-8" in line
    for part in ("train", "val"):
        command = line.partition("such as: ")[2].replace("/train/", f"/{part}/")
        subprocess.run(["bash", "-c", command], check=True)
    assert read(tmp_path).class_names == ("b", NFC)


@pytest.mark.parametrize("target", ["train/a", "train", ".", "/"])
@pytest.mark.parametrize("place", ["train/a/up", "train/a/deep/up"])
def test_a_link_to_an_enclosing_folder_is_named_itself(tmp_path, target, place):
    make(tmp_path, train=["a", "b"], val=["a", "b"])
    (tmp_path / "train" / "a" / "deep").mkdir()
    (tmp_path / place).symlink_to(tmp_path / target)
    where = os.path.normpath(tmp_path / target)
    assert fault(tmp_path) == (
        f"{tmp_path / place}: a link to {where}, a folder that encloses it; remove the link"
    )


def test_a_class_folder_may_be_a_link_and_its_links_upwards_are_named(tmp_path):
    make(tmp_path / "data", train=["a"], val=["a", "b"])
    make(tmp_path / "disk", store=["b"])
    (tmp_path / "data" / "train" / "b").symlink_to("../../disk/store/b")
    assert len(read(tmp_path / "data").train.labels) == 2
    (tmp_path / "disk" / "store" / "b" / "up").symlink_to("..")
    link = tmp_path / "data" / "train" / "b" / "up"
    assert fault(tmp_path / "data").startswith(f"{link}: a link to .., a folder that encloses it")


def test_links_that_lead_round_in_a_circle_are_named(tmp_path):
    make(tmp_path, train=["a", "b"], val=["a", "b"])
    (tmp_path / "train" / "a" / "x").symlink_to("../b")
    (tmp_path / "train" / "b" / "y").symlink_to("../a")
    assert fault(tmp_path).startswith(f"{tmp_path}/train/a/x/y: a link to ../a, a folder that")


@pytest.mark.parametrize("place", ["train/loop", "train/a/loop", "train/a/loop.png"])
@pytest.mark.parametrize("target", ["loop", "loop.png", "nowhere"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, place, target):
    make(tmp_path, train=["a", "b"], val=["a", "b"])
    link = tmp_path / place
    link.symlink_to(target)
    assert fault(tmp_path).startswith(f"{link}: a link to {target}, which leads nowhere; ")


def test_a_hidden_link_that_leads_nowhere_is_passed_over(tmp_path):
    make(tmp_path, train=["a", "b"], val=["a", "b"])
    (tmp_path / "train" / ".#lock").symlink_to("user@host.1")
    (tmp_path / "train" / "a" / ".#lock").symlink_to("user@host.1")
    assert read(tmp_path).class_names == ("a", "b")
