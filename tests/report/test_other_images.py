"""Runs with other training or validation images in a comparison."""

import numpy as np
import pytest

from kdrun.report.comparison import compare
from kdrun.report.comparison_formats import notes
from kdrun.report.other_images import (
    common_first,
    mark_chosen,
    mark_jobs,
    separate_trained,
    training_hash,
)
from kdrun.store.correct_images import Correct, read_correct, write_correct
from kdrun.store.files import read_sealed, write_sealed
from tests.report.sealing import seal_again
from tests.report.test_comparison import made_run


def row(run, train="a", validation="v", seed="0", pool=None, **settings):
    return {
        "run": run,
        "dataset": "imagefolder",
        "settings": {"train.seed": seed, **settings},
        "pool": pool,
        "train_hash": train,
        "validation_hash": validation,
        "tested_on": "",
    }


def test_runs_of_the_same_images_stay_together():
    rows = [row("x"), row("y"), row("z", seed="1", train="b"), row("old", train=None)]
    assert separate_trained(rows) == []
    assert {one["dataset"] for one in rows} == {"imagefolder"}


def test_a_run_of_other_training_images_is_a_data_set_of_its_own_with_all_its_seeds():
    rows = [row("x"), row("y"), row("z", train="b"), row("z", seed="1", train="b")]
    (line,) = separate_trained(rows)
    assert line.endswith("not averaged, paired or ranked with them: z")
    assert [one["dataset"] for one in rows] == [
        *("imagefolder", "imagefolder"),
        *("imagefolder (other training images)", "imagefolder (other training images)"),
    ]
    assert rows[2]["tested_on"] == "other training images"


def test_seeds_that_drew_from_other_images_are_apart_though_each_has_its_own_split():
    rows = [row("x", "a", pool="p"), row("y", "b", seed="1", pool="q"), row("z", "c", pool="p")]
    rows[2]["settings"]["train.seed"] = "2"
    (line,) = separate_trained(rows)
    assert line.endswith("not averaged, paired or ranked with them: y")


def test_training_images_that_a_column_says_to_differ_are_compared():
    limits = [{"dataset.limit": "100"}, {"dataset.limit": "200"}]
    rows = [row("x", train="a", **limits[0]), row("y", train="b", **limits[1])]
    assert separate_trained(rows) == []


def test_rows_chosen_on_other_validation_images_are_marked_and_named():
    rows = [row("x", validation="w"), row("y"), row("z"), row("s", seed="1", validation="u")]
    (line,) = mark_chosen(rows, "run")
    assert line.endswith("not ranked with them: x")
    assert [one["chosen_apart"] for one in rows] == [True, False, False, False]
    assert [one["run"] for one in common_first(rows)] == ["y", "z", "s", "x"]
    assert mark_chosen([row("x", validation=None), row("y")], "run") == []


def test_jobs_of_other_training_images_have_a_setting_more_and_come_last():
    trained = ("b", "a", "a")
    jobs = [row("", train) | {"job": str(n), "images": 36} for n, train in enumerate(trained)]
    jobs.append({"job": "3", "images": None, "settings": {}})
    (line,) = mark_jobs(jobs)
    assert line.startswith("trained on different images than the rest")
    assert line.endswith(": job 0")
    assert [job["settings"].get("training images") for job in jobs] == [
        *("other training images", "common", "common", None),
    ]
    assert [job["job"] for job in common_first(jobs)] == ["1", "2", "3", "0"]
    assert mark_jobs(jobs[1:3]) == []


def test_the_training_images_are_those_of_the_stage_of_the_seed():
    stages = [{"seed": n, "identity": {"data": f"images {n}"}} for n in (0, 1)]
    assert training_hash(stages, 1) == "images 1"
    assert training_hash(stages, 2) is None
    assert training_hash([{"identity": {}}], None) is None


def retrained(folder, data):
    """The run with another fingerprint of its images."""
    plan = read_sealed(folder / "plan.json")
    for stage in plan["stages"]:
        stage["identity"]["data"] = data
    write_sealed(folder / "plan.json", plan)
    seal_again(folder)
    return folder


def test_runs_of_other_training_images_are_neither_pooled_nor_paired(finished_run, tmp_path):
    made = [
        made_run(finished_run, tmp_path / name, [f"loss.T={T}"], 0, validation, 0.8, 0.7)
        for name, T, validation in (("a", 1, 0.8), ("b", 2, 0.82), ("c", 3, 0.9))
    ]
    assert [len(compare(made)["settings"]), compare(made)["tested_images"]] == [3, []]
    retrained(made[2], "other images")
    content = compare(made)
    assert [row["settings"]["loss.T"] for row in content["settings"]] == ["3", "2", "1"]
    assert [row["difference"] is None for row in content["settings"]] == [True, True, False]
    assert any(line.startswith("trained on different images") for line in notes(content))


def chosen_on(folder, source):
    """The run with other validation images."""
    correct = read_correct(folder)
    write_correct(
        folder,
        {
            place: splits
            | {
                "validation": Correct(
                    splits["validation"].images, source, splits["validation"].right
                )
            }
            for place, splits in correct.items()
        },
    )
    seal_again(folder)
    return folder


@pytest.mark.parametrize("best", [0, 1, 2])
def test_what_was_chosen_on_other_validation_images_is_not_first(finished_run, tmp_path, best):
    values = np.full(3, 0.8)
    values[best] = 0.9
    made = [
        made_run(finished_run, tmp_path / str(T), [f"loss.T={T}"], 0, float(value), 0.8, 0.7)
        for T, value in enumerate(values, 1)
    ]
    chosen_on(made[0], "others")
    content = compare(made)
    order = [row["settings"]["loss.T"] for row in content["settings"]]
    assert order == (["3", "2", "1"] if best == 2 else ["2", "3", "1"])
    assert [row["settings"]["loss.T"] for row in content["runs"]][-1] == "1"
    (line,) = content["tested_images"]
    assert line.endswith(f"not ranked with them: {made[0]}")
    assert content["ties"][0]["unknown"] == 1
