"""Optuna's sweeper: it maximises, learns of failures, and is refused where it would not."""

import pytest
from omegaconf import OmegaConf

from kdrun.config.compose import whole_config
from kdrun.config.optuna_sweeper import refuse_minimizing, reports_failures
from kdrun.errors import ConfigError


def test_the_shipped_defaults_maximise_and_outlive_failures():
    with whole_config(["hydra/sweeper=optuna", "hydra.sweeper.n_trials=7"]) as config:
        sweeper = config.hydra.sweeper
        assert (sweeper.direction, sweeper.max_failure_rate, sweeper.n_jobs) == ("maximize", 1.0, 1)
        assert (sweeper.n_trials, sweeper.storage) == (7, None)
        refuse_minimizing(sweeper)
        assert reports_failures(sweeper)


@pytest.mark.parametrize("given", ["minimize", "[maximize,minimize]", "[maximize]", "down"])
def test_another_direction_and_several_objectives_are_refused(given):
    with (
        whole_config(["hydra/sweeper=optuna", f"hydra.sweeper.direction={given}"]) as config,
        pytest.raises(ConfigError) as refused,
    ):
        refuse_minimizing(config.hydra.sweeper)
    assert str(refused.value).startswith(f"hydra.sweeper.direction={given}: the score of a job is")


def test_hydras_own_sweeper_has_no_direction_and_takes_scores_only():
    with whole_config([]) as config:
        refuse_minimizing(config.hydra.sweeper)
        assert not reports_failures(config.hydra.sweeper)


def test_optunas_own_type_of_a_direction_is_understood():
    from hydra_plugins.hydra_optuna_sweeper.config import Direction

    refuse_minimizing(OmegaConf.create({"direction": Direction.maximize}))
    with pytest.raises(ConfigError, match="direction=minimize"):
        refuse_minimizing(OmegaConf.create({"direction": Direction.minimize}))
