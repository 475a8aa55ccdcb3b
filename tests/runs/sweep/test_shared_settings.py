"""What all jobs of a sweep share, also where another sweeper than Hydra's chooses them."""

import pytest
from omegaconf import OmegaConf

from kdrun.config.compose import whole_config
from kdrun.report.sweep_jobs import foreign_jobs, read_jobs
from kdrun.runs.sweep.shared_settings import shared_settings
from kdrun.store.sweep_folder import begin_sweep
from tests.report.test_sweep_jobs import made_job

OTHER = "hydra.sweeper._target_=hydra_plugins.other.Sweeper"


def shared(*words, sweeper=(), space=None):
    """The settings that the jobs of the command line share.

    Args:
        words: given to the jobs; those that are swept are not composed.
        sweeper: Hydra's settings.
        space: what the sweeper's own config adds to its section.
    """
    given = [one for one in words if "(" not in one and "," not in one]
    with whole_config([*given, *sweeper]) as config:
        OmegaConf.set_readonly(config.hydra, False)
        OmegaConf.set_struct(config.hydra.sweeper, False)
        config.hydra.overrides.task = list(words)
        for key, values in (space or {}).items():
            config.hydra.sweeper[key] = values
        return shared_settings(config, None, None)


def test_fixed_settings_of_another_sweeper_are_shared_and_searched_ones_are_not():
    found = shared(
        *("student=mlp", "train.lr=0.2", "loss.alpha=interval(0.1,0.9)"), sweeper=[OTHER]
    )
    assert (found["student.arch"], found["train.lr"]) == ("mlp", 0.2)
    assert found["loss.T"] == 4.0  # the default, which nothing searches over
    assert "loss.alpha" not in found


@pytest.mark.parametrize("key", ["params", "search_space"])
def test_what_the_sweepers_own_config_searches_over_is_not_shared(key):
    space = {key: {"loss.T": "range(1,9)"}}
    found = shared("train.lr=0.2", sweeper=[OTHER], space=space)
    assert found["train.lr"] == 0.2
    assert "loss.T" not in found
    assert "loss.alpha" in found


@pytest.mark.parametrize(
    ("words", "sweeper"),
    [
        (("train.lr=0.2", "student=choice(mlp,convnet)"), [OTHER]),
        (("train.lr=0.2",), [OTHER, "+hydra.sweeper.custom_search_space=own.space"]),
    ],
)
def test_where_anything_may_be_searched_over_only_what_was_given_is_shared(words, sweeper):
    assert shared(*words, sweeper=sweeper) == {"train.lr": 0.2}


def test_the_run_of_another_sweep_is_told_in_a_sweep_without_a_list(make_config, tmp_path):
    begin_sweep(tmp_path, [], None, shared("train.lr=0.2", sweeper=[OTHER]))
    made_job(make_config, tmp_path / "0", ["train.lr=0.2", "loss.T=3.3"], 0.9)
    made_job(make_config, tmp_path / "1", ["train.lr=0.3", "loss.T=2.2"], 0.8)
    jobs = {job["job"]: job for job in read_jobs(tmp_path)}
    assert {job: found["status"] for job, found in jobs.items()} == {"0": "foreign", "1": "foreign"}
    assert "loss.T is 3.3, not 4" in jobs["0"]["error"]
    begin_sweep(tmp_path, [], None, shared("train.lr=0.2", "loss.T=range(1,9)", sweeper=[OTHER]))
    jobs = {job["job"]: job for job in read_jobs(tmp_path)}
    assert (jobs["0"]["status"], jobs["0"]["test"]) == ("done", 0.9)
    assert "train.lr is 0.3, not 0.2" in jobs["1"]["error"]
    assert set(foreign_jobs(tmp_path)) == {tmp_path / "1"}
