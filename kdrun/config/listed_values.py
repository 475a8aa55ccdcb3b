"""Values that a sweep lists for its jobs, to recognise the runs of the sweep."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config.compose import compose_job
from kdrun.config.model_groups import GROUPS
from kdrun.config.parse import empty_config, keys
from kdrun.config.paths import shipped_groups
from kdrun.errors import ConfigError
from kdrun.store.saved_config import texts

Values = dict[str, Any]


def listed_values(
    jobs: Mapping[str, Sequence[str]], config_dir: Path | None = None
) -> dict[str, Values]:
    """Return the values of all keys that any job overrides, by job.

    Every distinct choice of groups is composed once. If an option cannot be found, as without the
    user's own YAML, the keys of groups are omitted.

    Args:
        jobs: overrides by job.
        config_dir: folder with the user's own YAML.
    """
    chosen = chosen_values({name: group_choices(job) for name, job in jobs.items()}, config_dir)
    return {name: chosen[name] | plain_values(job) for name, job in jobs.items()}


def shared_values(
    jobs: Iterable[Sequence[str]], given: DictConfig, config_dir: Path | None = None
) -> Values:
    """Return the known values that are the same in all jobs, by key.

    Every distinct choice of groups is composed once. Omitted are values with references, and
    values that differ from the command line's config, as with a primary config of the user's own.

    Args:
        jobs: overrides by job.
        given: config of the command line, without keys that differ between jobs.
        config_dir: folder with the user's own YAML.
    """
    shared: Values | None = None
    composed: dict[tuple[str, ...], Values] = {}
    for job in jobs:
        choices = group_choices(job)
        if choices not in composed:
            composed[choices] = composed_values(choices, config_dir)
        values = composed[choices] | plain_values(job)
        kept = values if shared is None else shared
        shared = {key: kept[key] for key in kept if key in values and same(kept[key], values[key])}
    if any(key.startswith("chain.stage.") for key in shared or {}):
        (shared or {}).pop("chain.stage", None)
    return {key: one for key, one in (shared or {}).items() if same(select(given, key), one)}


def composed_values(choices: Sequence[str], config_dir: Path | None) -> Values:
    """Return the values without references that options lead to; {} if an option is invalid."""
    try:
        values = flat_values(compose_job(choices, config_dir))
    except ConfigError:
        return {}
    return {key: one for key, one in values.items() if not any("${" in t for t in texts(one))}


def group_choices(job: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides that select an option of a group."""
    return tuple(one for one in job if one.partition("=")[0] in group_names())


@cache
def group_names() -> frozenset[str]:
    """Return the names of all groups."""
    return frozenset({*shipped_groups(), *GROUPS})


@cache
def known_keys() -> frozenset[str]:
    """Return all keys of a config."""
    return frozenset(keys())


def plain_values(job: Sequence[str]) -> Values:
    """Return the values of the overrides that set a key, with the types of the config."""
    groups = group_choices(job)
    pairs = (one.partition("=")[::2] for one in job if one not in groups)
    return {key: typed_value(key, text) for key, text in pairs}


@cache
def typed_value(key: str, text: str) -> Any:
    """Return the typed value of `key=text`; the text itself if it is not a valid value."""
    typed = empty_config()
    OmegaConf.set_struct(typed.chain.stage, False)
    try:
        value = OverridesParser.create().parse_override(f"{key}={text}").value()
        OmegaConf.update(typed, key, value)
        return plain(OmegaConf.select(typed, key))
    except (HydraException, OmegaConfBaseException):
        return text


def plain(value: Any) -> Any:
    """Convert lists and mappings of a config to plain Python."""
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def chosen_values(
    choices: Mapping[str, tuple[str, ...]], config_dir: Path | None
) -> dict[str, Values]:
    """Return the values of the keys that options of groups change, by job."""
    if not any(choices.values()):
        return {name: {} for name in choices}
    try:
        defaults = flat_values(compose_job([]))
        composed = {
            chosen: flat_values(compose_job(chosen, config_dir)) for chosen in set(choices.values())
        }
    except ConfigError:
        return {name: {} for name in choices}
    changed = [
        key
        for key in defaults  # in order, for the message
        if all(key in values for values in composed.values())
        and any(
            values[key] != defaults[key] or key in named_by(chosen)
            for chosen, values in composed.items()
        )
    ]
    return {name: {key: composed[choices[name]][key] for key in changed} for name in choices}


NAMES = {
    "teacher": "teacher.arch",
    "student": "student.arch",
    "dataset": "dataset.name",
    "chain": "chain.method",
    "temperature": "temperature.schedule",
}
"""Groups by the key that names the selected option."""


def named_by(choices: Iterable[str]) -> set[str]:
    """Return the keys that name the selected options."""
    return {NAMES[group] for group in (one.partition("=")[0] for one in choices) if group in NAMES}


def flat_values(config: DictConfig) -> Values:
    """Return the value of every key of a config; None for a missing one.

    Omitted are references that cannot be resolved, such as to a former environment variable.
    """
    found = {}
    for key in keys():
        with suppress(OmegaConfBaseException):
            found[key] = plain(OmegaConf.select(config, key))
    return found


def select(config: DictConfig, key: str) -> Any:
    """Return the value of a key as plain data; None if missing."""
    try:
        return plain(OmegaConf.select(config, key))
    except OmegaConfBaseException:
        return None


def difference(config: DictConfig, listed: Values, changeable: Iterable[str]) -> str | None:
    """Return `loss.T is 1, not 8` for the first listed value that differs, else None.

    Args:
        config: saved config of a run.
        listed: values that the sweep lists for the run.
        changeable: keys that may change when a run is resumed.
    """
    for key, value in listed.items():
        if key in changeable:
            continue
        found = select(config, key)
        # Options of stages are saved in another form; an earlier kdrun had other keys.
        absent = found is None and key not in known_keys()
        if not (absent or same(found, value) or was_raised(key, found, value)):
            return f"{key} is {format_value(found)}, not {format_value(value)}"
    return None


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal as numbers or text: 4 and 4.0, but not 4 and 8."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or str(one) == str(other)


def was_raised(key: str, found: Any, value: Any) -> bool:
    """Whether a run was resumed with more epochs than listed."""
    numbers = isinstance(found, int) and isinstance(value, int)
    return key == "train.epochs" and numbers and found > value


def format_value(value: Any) -> str:
    """Format a value for a message."""
    return f"{value:g}" if isinstance(value, float) else str(value)
