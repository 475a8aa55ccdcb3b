"""Overrides of the jobs of a sweep, known before it starts."""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def planned_jobs(hydra: DictConfig) -> list[list[str]] | None:
    """The overrides of every job, or None where the sweeper chooses them as it goes.

    Args:
        hydra: the `hydra` section of the sweep's config.
    """
    if hydra.sweeper._target_ != BASIC:
        return None
    params = hydra.sweeper.get("params") or {}
    given = [f"{key}={value}" for key, value in params.items()] + list(hydra.overrides.task)
    overrides = OverridesParser.create().parse_overrides(given)
    batches = BasicSweeper.split_arguments(overrides, None)
    return [list(job) for batch in batches for job in batch]
