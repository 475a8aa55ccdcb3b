"""Values that a sweep lists, compared with those of a run's config."""

import pytest

from kdrun.config.compose import compose_job
from kdrun.config.listed_values import difference, listed_values

JOBS = {
    "0": ["loss=kd", "loss.T=4", "train.nesterov=on", "train=sgd"],
    "1": ["loss=dkd", "loss.T=8", "train.nesterov=on", "train=sgd"],
}


@pytest.mark.parametrize("name", JOBS)
def test_the_run_of_a_job_has_what_is_listed_for_it(name):
    assert difference(compose_job(JOBS[name]), listed_values(JOBS)[name], ()) is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("loss.T=1",), "loss.T is 1, not 4"),
        (("loss=dkd",), "loss.weights.hard is 1, not None"),
        (("train=adamw",), "train.optimizer is adamw, not sgd"),
        (("train.nesterov=false",), "train.nesterov is False, not True"),
    ],
)
def test_a_run_with_another_value_is_told_by_it(changed, told):
    jobs = {**JOBS, "2": [*JOBS["0"][:3], "train=adamw"]}
    assert difference(compose_job([*JOBS["0"], *changed]), listed_values(jobs)["0"], ()) == told


def test_an_option_that_is_the_default_is_listed_too():
    listed = listed_values({"0": ["student=mlp"], "1": ["student=resnet8"]})
    assert difference(compose_job(["student=resnet8"]), listed["0"], ()) is not None


def test_more_epochs_and_what_may_change_make_no_other_run():
    listed = listed_values({"0": ["train.epochs=2", "dataset.root=/a"]})["0"]
    raised = compose_job(["train.epochs=5", "dataset.root=/b"])
    assert difference(raised, listed, ("dataset.root",)) is None
    assert difference(compose_job(["train.epochs=1"]), listed, ("dataset.root",)) is not None


def test_without_the_users_own_options_the_plain_values_are_compared():
    listed = listed_values({"0": ["dataset=mine", "loss.T=4"]})["0"]
    assert listed == {"loss.T": 4.0}
