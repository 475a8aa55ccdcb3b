"""Means over seeds and paired differences."""

import math

import pytest

from kdrun.report.seeds_table import over_seeds


def job(seed, test, control, validation=0.9, train=0.99, **settings):
    settings = {"train.seed": str(seed)} | settings
    accuracies = {"train": train, "validation": validation, "test": test}
    return {"settings": settings, "control_test": control} | accuracies


JOBS = [
    *(job(s, t, c, loss="kd") for s, t, c in [(0, 0.90, 0.85), (1, 0.92, 0.90), (2, 0.94, 0.86)]),
    *(job(s, t, c, loss="rkd") for s, t, c in [(0, 0.95, 0.85), (1, 0.91, 0.90)]),
    job(2, None, None, loss="rkd"),
]


def test_a_setting_is_one_row_with_mean_and_deviation_over_its_finished_seeds():
    second, first = over_seeds(JOBS)
    assert (first["settings"], first["seeds"]) == ({"loss": "rkd"}, 2)
    assert (second["settings"], second["seeds"]) == ({"loss": "kd"}, 3)
    assert second["test"] == pytest.approx(0.92)
    assert second["deviation"] == pytest.approx(0.02)


def test_the_best_on_validation_is_first_and_without_it_the_best_in_training():
    jobs = [job(0, test=0.9, control=None, validation=v, loss=v) for v in (0.7, 0.8, None)]
    assert [row["validation"] for row in over_seeds(jobs)] == [0.8, 0.7, None]
    jobs = [job(0, 0.9, None, validation=None, train=t, loss=t) for t in (0.7, 0.8)]
    assert [row["train"] for row in over_seeds(jobs)] == [0.8, 0.7]


def test_the_gain_is_the_mean_of_paired_differences_with_its_standard_error():
    row = over_seeds(JOBS)[0]
    gains = [0.05, 0.02, 0.08]
    assert row["gain"] == pytest.approx(0.05)
    spread = math.sqrt(sum((g - 0.05) ** 2 for g in gains) / 2)
    assert row["error"] == pytest.approx(spread / math.sqrt(3))


def test_one_seed_has_no_deviation_and_a_lacking_control_no_gain():
    (row,) = over_seeds([job(0, 0.9, None)])
    assert row["deviation"] is row["gain"] is row["error"] is None


def test_a_gain_needs_the_control_of_every_seed():
    jobs = [job(0, 0.9, 0.8), job(1, 0.9, None)]
    (row,) = over_seeds(jobs)
    assert row["deviation"] == 0.0
    assert row["gain"] is row["error"] is None


def test_one_seed_with_its_control_has_a_gain_without_error():
    (row,) = over_seeds([job(0, 0.9, 0.8)])
    assert row["gain"] == pytest.approx(0.1)
    assert row["error"] is None
