"""Settings shared by all jobs of a sweep, to distinguish their runs from other sweeps'."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from kdrun.config.listed_values import group_names, plain_values, shared_values
from kdrun.config.sweep_overrides import as_typed
from kdrun.store.plain_overrides import refers

OWN_SPACE = "custom_search_space"
"""Key of a sweeper (Optuna) for a function that may search over any setting."""


def shared_settings(
    config: DictConfig, jobs: list[list[str]] | None, config_dir: Path | None
) -> dict[str, Any]:
    """Return the known values that are the same in all jobs, by key.

    Args:
        config: config of the command line, with Hydra's section.
        jobs: overrides of every job; None without a list of jobs.
        config_dir: folder with the user's own YAML.
    """
    if jobs is not None:
        return shared_values(jobs, config, config_dir)
    fixed, searched = fixed_overrides(config.hydra)
    plain = plain_values(fixed)
    if config.hydra.sweeper.get(OWN_SPACE) or searched & group_names():
        return {key: one for key, one in plain.items() if not touches(key, searched)}
    values = shared_values([fixed], config, config_dir) | plain
    return {key: one for key, one in values.items() if not touches(key, searched)}


def fixed_overrides(hydra: DictConfig) -> tuple[list[str], set[str]]:
    """Return the overrides of every job, and the keys that the sweeper searches over."""
    fixed, searched = [], set(hydra.sweeper.get("search_space") or {})
    for text in given_overrides(hydra):
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            searched.add(text.lstrip("+~").partition("=")[0])
            continue
        key = override.get_key_element().lstrip("+~")
        if override.is_sweep_override() or override.is_delete() or refers(text):
            searched.add(key)
        else:
            fixed.append(f"{key}={text.partition('=')[2]}")
    return fixed, searched


def given_overrides(hydra: DictConfig) -> Iterator[str]:
    """Yield the overrides of the sweeper's config and of the command line."""
    params = OmegaConf.to_container(hydra.sweeper, resolve=False)
    assert isinstance(params, dict)
    yield from (f"{key}={value}" for key, value in (params.get("params") or {}).items())
    yield from as_typed(hydra)


def touches(key: str, searched: set[str]) -> bool:
    """Whether the key, a parent or a child of the key is searched over."""
    return any(
        f"{key}.".startswith(f"{one}.") or f"{one}.".startswith(f"{key}.") for one in searched
    )
