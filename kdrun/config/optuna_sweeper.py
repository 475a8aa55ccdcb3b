"""Defaults of Hydra's Optuna sweeper for a score that is an accuracy."""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from kdrun.errors import ConfigError

DEFAULTS: dict[str, Any] = {
    "direction": "maximize",
    "max_failure_rate": 1.0,  # a failed job does not end the sweep
    "n_jobs": 1,  # without a launcher jobs run one after another: learn from each
}
"""Replacements of the plugin's defaults, which minimise and stop at the first failure."""


def register() -> None:
    """Change the defaults of `hydra/sweeper=optuna`, if the plugin is installed.

    A YAML file of that name would be refused by Hydra, as the plugin's config is in its store.
    """
    Plugins.instance()  # imports the plugins, which store their configs
    sweepers = ConfigStore.instance().repo.get("hydra", {}).get("sweeper", {})
    if "optuna.yaml" in sweepers:
        sweepers["optuna.yaml"].node.update(DEFAULTS)


def refuse_minimizing(sweeper: DictConfig) -> None:
    """Check that the sweeper has one objective and maximises it; others pass.

    Raises:
        ConfigError: another direction, or several.
    """
    direction = sweeper.get("direction", "maximize")
    name = getattr(direction, "name", direction)
    if name != "maximize":
        given = name if isinstance(name, str) else f"[{','.join(map(str, name))}]"
        raise ConfigError(
            f"hydra.sweeper.direction={given}: the score of a job is one number, its validation "
            "accuracy, which is maximised; leave it out"
        )


def reports_failures(sweeper: DictConfig) -> bool:
    """Whether the sweeper tells failed jobs from bad ones, if they raise."""
    return "max_failure_rate" in sweeper
