"""Means over seeds and paired differences."""

from dataclasses import asdict

import pytest
from scipy import stats

from kdrun.report.paired_gain import paired_gain
from kdrun.report.seeds_table import over_seeds


def job(seed, test, control, validation=0.9, train=0.99, loss=None, **settings):
    settings = {"train.seed": str(seed)} | settings
    accuracies = {"train": train, "validation": validation, "test": test}
    accuracies |= {"validation_loss": loss, "control_test": control}
    gain = None if None in (test, control) else asdict(paired_gain([test], [control]))
    name = f"{seed}-{settings}"
    return {"job": name, "settings": settings, "gain": gain} | accuracies


JOBS = [
    *(job(s, t, c, method="kd") for s, t, c in [(0, 0.90, 0.85), (1, 0.92, 0.90), (2, 0.94, 0.86)]),
    *(job(s, t, c, method="rkd") for s, t, c in [(0, 0.95, 0.85), (1, 0.91, 0.90)]),
    job(2, None, None, method="rkd"),
]


def test_a_setting_is_one_row_with_mean_and_deviation_over_its_finished_seeds():
    second, first = over_seeds(JOBS)
    assert (first["settings"], first["seeds"]) == ({"method": "rkd"}, 2)
    assert (second["settings"], second["seeds"]) == ({"method": "kd"}, 3)
    assert second["test"] == pytest.approx(0.92)
    assert second["deviation"] == pytest.approx(0.02)


def test_the_best_on_validation_is_first_and_without_it_the_best_in_training():
    jobs = [job(0, test=0.9, control=None, validation=v, method=v) for v in (0.7, 0.8, None)]
    assert [row["validation"] for row in over_seeds(jobs)] == [0.8, 0.7, None]
    jobs = [job(0, 0.9, None, validation=None, train=t, method=t) for t in (0.7, 0.8)]
    assert [row["train"] for row in over_seeds(jobs)] == [0.8, 0.7]


def test_the_gain_is_that_of_the_paired_t_test():
    gain = over_seeds(JOBS)[0]["gain"]
    expected = stats.ttest_rel([0.90, 0.92, 0.94], [0.85, 0.90, 0.86])
    assert gain["points"] == pytest.approx(5)
    ends = [100 * end for end in expected.confidence_interval(0.95)]
    assert [gain["low"], gain["high"]] == pytest.approx(ends)
    assert (gain["p"], gain["seeds"]) == (pytest.approx(expected.pvalue), 3)


def test_equal_accuracies_are_ranked_by_their_loss():
    jobs = [job(0, 0.9, None, name=name, loss=loss) for name, loss in (("a", 0.4), ("b", 0.3))]
    assert [row["settings"]["name"] for row in over_seeds(jobs)] == ["b", "a"]


def test_one_seed_has_no_deviation_and_a_lacking_control_no_gain():
    (row,) = over_seeds([job(0, 0.9, None)])
    assert row["deviation"] is row["gain"] is None


def test_a_gain_needs_the_control_of_every_seed():
    jobs = [job(0, 0.9, 0.8), job(1, 0.9, None)]
    (row,) = over_seeds(jobs)
    assert row["deviation"] == 0.0
    assert row["gain"] is None


def test_one_seed_with_its_control_has_the_gain_of_its_run():
    one = job(0, 0.9, 0.8)
    (row,) = over_seeds([one])
    assert row["gain"] == one["gain"]
