"""Metrics that are not those of the stages that the summary tells of."""

import pytest

from kdrun.errors import DamagedError
from kdrun.report.checked_metrics import check_metrics
from tests.report.test_findings import stage, summary


def lines(place, epochs=10, validation=None, T=4.0):
    return [
        {"stage": place, "epoch": n, "validation_accuracy": validation, "T": T}
        for n in range(1, epochs + 1)
    ]


def test_what_agrees_passes(tmp_path):
    content = summary(stage("teacher", 0.9), stage("student", 0.9, validation=0.8))
    content["stages"].append(stage("teacher", 0.9) | {"epochs": 0})
    # A stage that was trained on has its lines after those of the others.
    check_metrics(tmp_path, content, [*lines(1, validation=0.8), *lines(0, T=None)])


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (lines(0)[:9], "stage 0 has the epochs 1, 2, 3, 4, 5, 6, ..., not 1 to 10"),
        ([], "stage 0 has the epochs none, not 1 to 10"),
        ([*lines(0), lines(0)[-1]], "stage 0 has the epochs"),
        ([*lines(0)[:9], lines(0, validation=0.5)[9]], "has no validation images, unlike epoch 10"),
        ([*lines(0)[:9], lines(0, T=None)[9]], "stage 0 has a T in some epochs"),
        ([*lines(0), *lines(1)], "it has epochs of stage 1, the run has 1 stages"),
    ],
)
def test_other_epochs_are_damage(tmp_path, metrics, said):
    with pytest.raises(DamagedError, match=r"metrics\.jsonl is damaged: .*" + said):
        check_metrics(tmp_path, summary(stage("student", 0.9)), metrics)


def test_an_epoch_without_the_validation_accuracy_of_the_others_is_damage(tmp_path):
    metrics = [*lines(0, 9, validation=0.5), *lines(0)[9:]]
    with pytest.raises(DamagedError, match="stage 0 has validation images, unlike epoch 10"):
        check_metrics(tmp_path, summary(stage("student", 0.9, validation=0.5)), metrics)
