"""Runs on image folders that are other images, or were known to older versions by path and size."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kdrun.data.fingerprint import fingerprint
from kdrun.errors import DataError
from kdrun.export.student import export_student
from kdrun.runs.analyze import analyze_run
from kdrun.runs.data_warnings import (
    data_notes,
    older_stage_lines,
    refuse_older,
    teacher_split_lines,
)
from kdrun.runs.resume import resume_run
from kdrun.runs.runner import run
from kdrun.store.files import read_sealed, write_json
from kdrun.store.stages import IDENTITY, SUMMARY

SMALL = (
    *("dataset=imagefolder", "dataset.image_size=16", "dataset.val_fraction=0.25", "analysis=off"),
    *("teacher=mlp", "teacher.width=8", "student=mlp", "student.width=4", "chain.control=false"),
    *("train.epochs=1", "train.batch_size=8", "train.workers=0", "teacher.min_accuracy=0"),
    *("train.device=cpu", "train.precision=fp32"),
)


def write_bitmaps(root, seed):
    """Files of equal names and sizes for every seed."""
    generator = np.random.default_rng(seed)
    for place in ("train/a", "train/b", "val/a", "val/b"):
        (root / place).mkdir(parents=True)
        for number in range(8):
            pixels = generator.integers(0, 256, (20, 20), np.uint8)
            Image.fromarray(pixels).save(root / place / f"{number:04}.bmp")
    return root


@pytest.fixture
def start(make_config, tmp_path):
    """Run on an image folder; returns the stages of the summary."""

    def start(images, name, *overrides):
        options = (f"dataset.root={images}", f"output_root={tmp_path / 'outputs'}")
        config = make_config(*SMALL, *options, *overrides)
        run(config, tmp_path / name, [])
        return read_sealed(tmp_path / name / "summary.json")["stages"]

    return start


def test_folders_of_equal_names_and_sizes_are_trained_on_by_themselves(start, tmp_path):
    one, two = write_bitmaps(tmp_path / "one", 1), write_bitmaps(tmp_path / "two", 2)
    first, second, again = start(one, "first"), start(two, "second"), start(one, "again")
    assert [stage["reused"] for stage in first + second] == [False] * 4
    assert [stage["reused"] for stage in again] == [True] * 2
    hashes = [{stage["hash"] for stage in stages} for stages in (first, second, again)]
    assert not hashes[0] & hashes[1]
    assert hashes[0] == hashes[2]


def test_exchanged_folders_are_noticed_by_every_command(start, tmp_path):
    one, two = write_bitmaps(tmp_path / "one", 1), write_bitmaps(tmp_path / "two", 2)
    start(one, "run")
    folder = tmp_path / "run"
    one.rename(tmp_path / "spare")
    two.rename(one)
    for command in (
        lambda: analyze_run(folder, "basic"),
        lambda: export_student(folder, ["safetensors"]),
        lambda: resume_run(folder, ["train.epochs=2"]),
    ):
        with pytest.raises(DataError, match="its images or labels changed since the run began"):
            command()
    back = {"dataset.root": str(tmp_path / "spare")}
    assert analyze_run(folder, "basic", back).exists()


def by_path_and_size(facts, parts, value_range):
    arrays = [a for part in parts.values() for a in (part.labels, part.sizes, part.paths)]
    return fingerprint(facts | {"resized_by": "torch"}, arrays)


def test_stages_by_path_and_size_are_left_and_told_of(start, tmp_path, monkeypatch):
    images = write_bitmaps(tmp_path / "images", 1)
    with monkeypatch.context() as older:
        older.setattr("kdrun.data.dataset.files_fingerprint", by_path_and_size)
        start(images, "older")
    with pytest.raises(DataError, match=r"started by an older version.*start a new run"):
        resume_run(tmp_path / "older", ["train.epochs=2"])
    assert [stage["reused"] for stage in start(images, "newer")] == [False] * 2
    line = "2 stages are from an older version, which identified image files by path and size"
    assert line in (tmp_path / "newer" / "run.log").read_text()
    start(images, "again")
    assert "older version" not in (tmp_path / "again" / "run.log").read_text()


def test_shared_and_passed_over_images_are_told_in_the_run(start, tmp_path):
    images = write_bitmaps(tmp_path / "images", 1)
    (images / "val" / "b" / "0003.bmp").write_bytes((images / "train/b/0001.bmp").read_bytes())
    (images / "train" / "a" / "x.heic").write_text("?")
    start(images, "run")
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count("skipped 1 file (1 .heic)") == 1
    shared = [line for line in log.splitlines() if "of 16 test images are" in line]
    assert len(shared) == 1
    assert "1 of 16 test images are" in shared[0]


def context(tmp_path, **data):
    known = {"fingerprint": "new", "older_fingerprint": "old", "notes": ()} | data
    return SimpleNamespace(data=SimpleNamespace(**known), output_root=tmp_path)


def stage_run(folder, **changes):
    stage = SimpleNamespace(seed=None, pretrained=True)
    return SimpleNamespace(stage=stage, folder=folder, title="teacher mlp", **changes)


def test_notes_of_several_seeds_are_told_once(tmp_path):
    settings = {0: context(tmp_path, notes=("a", "b")), 1: context(tmp_path, notes=("a", "c"))}
    assert data_notes(settings) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (None, None),
        ("new", None),
        ("other", "on other images or another split (seed, dataset.val_fraction)"),
        ("old", "by an older version, which identified image files by path and size"),
    ],
)
def test_a_given_teacher_of_another_split_is_told_of(tmp_path, known, told):
    given = stage_run(tmp_path, source=SimpleNamespace(data=known, name="t.pt"))
    lines = teacher_split_lines([given], {None: context(tmp_path)})
    assert len(lines) == (told is not None)
    assert told is None or told in lines[0]


def test_a_damaged_stage_of_the_store_is_not_asked_for_its_images(tmp_path):
    for name, content in (("a", {"data": "old"}), ("b", {"data": "else"}), ("c", [])):
        stage = tmp_path / "store" / name
        stage.mkdir(parents=True)
        write_json(stage / IDENTITY, content)
        write_json(stage / SUMMARY, {})
    (tmp_path / "store" / "d").mkdir()
    (tmp_path / "store" / "d" / SUMMARY).write_text("{")
    (line,) = older_stage_lines([stage_run(tmp_path / "new")], {None: context(tmp_path)})
    assert line.startswith("1 stage is from an older version")
    assert older_stage_lines([stage_run(tmp_path / "store" / "a")], {None: context(tmp_path)}) == []
    memory = {None: context(tmp_path, older_fingerprint=None)}
    assert older_stage_lines([stage_run(tmp_path / "new")], memory) == []


def test_a_run_by_content_is_not_taken_for_an_older_one(tmp_path):
    stages = [{"identity": {"data": "new"}}]
    refuse_older([stage_run(tmp_path)], stages, {None: context(tmp_path)})
    with pytest.raises(DataError, match="older version"):
        refuse_older(
            [stage_run(tmp_path)], [{"identity": {"data": "old"}}], {None: context(tmp_path)}
        )
