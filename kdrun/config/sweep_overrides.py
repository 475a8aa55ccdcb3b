"""Overrides of a sweep's jobs as plain values, known before the sweep starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config.compose import compose_job, whole_config
from kdrun.errors import ConfigError, reason
from kdrun.store.plain_overrides import fault_of, refers, shown
from kdrun.store.saved_config import texts
from kdrun.store.sweep_folder import folders_fault

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
NUMBERS = "${hydra.job.num}"
"""Value of `hydra.sweep.subdir` that names the jobs' folders by number."""


@dataclass(frozen=True)
class PlannedJobs:
    """Jobs of a sweep that are known before the sweep starts.

    Attributes:
        overrides: plain overrides of every job.
        folders: of every job, relative to the sweep's; None for their numbers.
    """

    overrides: list[list[str]]
    folders: list[str] | None = None


def planned_jobs(config: DictConfig, config_dir: Path | None = None) -> PlannedJobs | None:
    """Return the jobs with plain values; None if a sweeper chooses them during the sweep.

    Args:
        config: config of the sweep, with Hydra's section.
        config_dir: folder with the user's own YAML.

    Raises:
        ConfigError: an override cannot be stored as a plain value, or two jobs share a folder.
    """
    jobs = hydras_jobs(config.hydra)
    if jobs is None:
        return None
    roots = {one for job in jobs for one in job if one.startswith("output_root=")}
    if len(roots) > 1:
        raise ConfigError(f"{', '.join(sorted(roots))}: all jobs of a sweep need one output root")
    folders = job_folders(config, jobs, config_dir)
    resolved_jobs = [resolved_job(job, number, config_dir) for number, job in enumerate(jobs)]
    return PlannedJobs(resolved_jobs, folders)


def hydras_jobs(hydra: DictConfig) -> list[list[str]] | None:
    """Return the overrides of every job of Hydra's basic sweeper; None for another sweeper.

    Raises:
        ConfigError: an override cannot be read.
    """
    if hydra.sweeper._target_ != BASIC:
        return None
    params = hydra.sweeper.get("params") or {}
    given = [f"{key}={value}" for key, value in params.items()] + as_typed(hydra)
    try:
        overrides = OverridesParser.create().parse_overrides(given)
        batches = BasicSweeper.split_arguments(overrides, None)
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split())) from error
    jobs = [list(job) for batch in batches for job in batch]
    if not jobs:
        empty = " ".join(o.input_line or "" for o in overrides if o.is_sweep_override())
        raise ConfigError(
            f"{empty}: an empty range, so the sweep has no job; give at least a value"
        )
    return jobs


def job_folders(
    config: DictConfig, jobs: Sequence[Sequence[str]], config_dir: Path | None
) -> list[str] | None:
    """Return the folders that `hydra.sweep.subdir` leads to; None for the jobs' numbers.

    Raises:
        ConfigError: two jobs would share a folder, or one would leave the sweep's.
    """
    if OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"] == NUMBERS:  # type: ignore[call-overload, index]
        return None
    folders = [job_folder(config, job, number, config_dir) for number, job in enumerate(jobs)]
    if fault := folders_fault(folders):
        raise ConfigError(f"hydra.sweep.subdir: {fault}; every job needs a folder of its own")
    return folders


def job_folder(config: DictConfig, job: Sequence[str], number: int, config_dir: Path | None) -> str:
    """Return the folder of one job, relative to the sweep's, as Hydra will compose it."""
    overrides = [*job, *as_typed(config.hydra, "hydra"), f"++hydra.job.num={number}"]
    with whole_config(overrides, config_dir) as whole:
        OmegaConf.copy_cache(config, whole)  # ${now:...} is the same in all jobs
        return str(PurePosixPath(str(whole.hydra.sweep.subdir)))


def as_typed(hydra: DictConfig | HydraConf, section: str = "task") -> list[str]:
    """Return the overrides of the command line, with references unresolved.

    Args:
        hydra: section `hydra` of a config.
        section: `task`, or `hydra` for those of Hydra's own section.
    """
    overrides = OmegaConf.to_container(hydra.overrides[section], resolve=False)  # type: ignore[index]
    assert isinstance(overrides, list)
    return [str(one) for one in overrides]


def resolved_job(job: Sequence[str], number: int, config_dir: Path | None) -> list[str]:
    """Return a job's overrides with references resolved in the current environment."""
    if not any(map(refers, job)):
        return resolved(job, OmegaConf.create({}), {})
    with whole_config([*job, f"++hydra.job.num={number}"], config_dir) as whole:
        return resolved(job, whole, whole.hydra.runtime.choices)


def resolved(
    overrides: Sequence[str], composed: DictConfig, choices: Mapping[str, Any]
) -> list[str]:
    """Return the overrides as plain `key=value`, each reference replaced by its value.

    Args:
        overrides: Hydra's overrides of a job.
        composed: config composed from the overrides.
        choices: selected option of every group.

    Raises:
        ConfigError: an override has no plain form, or an unresolved reference.
    """
    found = []
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if refers(value):
            value = chosen_or_value(composed, key, choices, override)
        plain = override if override[:1] == "~" else f"{key}={value}"
        if fault := fault_of(plain):
            raise ConfigError(
                f"{shown(override)}: {fault}, so the sweep could not be resumed; a sweep "
                "takes key=value"
            )
        found.append(plain)
    return found


def chosen_or_value(
    composed: DictConfig, key: str, choices: Mapping[str, Any], override: str
) -> str:
    """Return the text of the value of an override with a reference.

    Raises:
        ConfigError: the override has no value.
    """
    if key in choices:
        chosen = choices[key]
        return chosen if isinstance(chosen, str) else f"[{','.join(map(str, chosen))}]"
    try:
        value = OmegaConf.select(composed, key, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{shown(override)}: {reason(error)}") from error
    return written(
        OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    )


def compose_listed(overrides: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """Compose the config of a job of a saved sweep from its plain overrides.

    Args:
        overrides: overrides as read from the sweep.
        config_dir: folder with the user's own YAML.

    Raises:
        ConfigError: an override cannot be used, or contains a reference.
    """
    for override in overrides:
        if any("${" in text for text in texts(value_of(override))):
            raise ConfigError(f"{shown(override)}: contains ${{...}}; a sweep stores plain values")
    return compose_job(overrides, config_dir)


def value_of(override: str) -> Any:
    """Return the value of `key=value` as read by Hydra, without quotes and escapes.

    Raises:
        ConfigError: the text is not a value.
    """
    try:
        return OverridesParser.create().parse_override(override).value()
    except HydraException as error:
        raise ConfigError(f"{shown(override)}: cannot be read as a value") from error


def written(value: Any) -> str:
    """Return a plain value in command-line syntax."""
    return str(Override._get_value_element_as_str(_quoted(value)))


def _quoted(value: Any) -> Any:
    if isinstance(value, str):
        return QuotedString(value, Quote.single)
    if isinstance(value, list):
        return [_quoted(one) for one in value]
    if isinstance(value, dict):
        return {key: _quoted(one) for key, one in value.items()}
    return value
