"""Test images of runs: the same, others, or unknown."""

import pytest

from kdrun.report.other_images import common_first
from kdrun.report.tested_images import image_labels, image_notes, separate_jobs


def row(test_hash, images=36, dataset="imagefolder"):
    return {"dataset": dataset, "images": images, "test_hash": test_hash}


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ([row("a"), row("a")], ["", ""]),
        ([row("b"), row("a"), row("a")], ["other images", "", ""]),
        ([row("a"), row("a"), row("b"), row("c")], ["", "", "other images", "other images 2"]),
        ([row("a"), row("b", dataset="digits")], ["", ""]),
        # What is not known can only be the one there is.
        ([row("a"), row(None)], ["", ""]),
        ([row("a"), row(None, images=35)], ["", "unknown images"]),
        ([row("a"), row("b"), row(None)], ["", "other images", "unknown images 2"]),
        ([row(None), row(None)], ["", ""]),
        ([row(None), row(None), row(None, images=35)], ["", "", "other images"]),
    ],
)
def test_rows_of_other_test_images_have_a_label(rows, labels):
    assert image_labels(rows) == labels


def test_rows_that_are_apart_or_unknown_are_named_in_a_line_each():
    rows, names = [row("a"), row("b"), row("b")], ["x", "y", "z"]
    (line,) = image_notes(rows, image_labels(rows), names)
    assert line.endswith("not averaged, paired or ranked with them: x")
    rows = [row("a"), row(None)]
    (line,) = image_notes(rows, image_labels(rows), names[:2])
    assert line == "test images unknown, assumed to be the same: y"
    assert image_notes([row("a")] * 2, ["", ""], names[:2]) == []


def test_jobs_of_a_sweep_on_other_images_have_a_setting_more_and_come_last():
    jobs = [
        row(test_hash, images) | {"job": str(n), "settings": {"train.seed": str(n)}}
        for n, (test_hash, images) in enumerate([("b", 36), ("a", 36), ("a", 36), (None, None)])
    ]
    (line,) = separate_jobs(jobs)
    assert line.endswith("with them: job 0")
    assert [job["settings"].get("test images") for job in jobs] == [
        "other images", "common", "common", None,
    ]  # fmt: skip
    assert [job["job"] for job in common_first(jobs)] == ["1", "2", "3", "0"]
    assert separate_jobs(jobs[1:]) == []
