"""Check of all jobs of a sweep before the first starts. Imports no torch."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from kdrun.config.composition_faults import one_line
from kdrun.config.listed_values import group_names
from kdrun.config.option_faults import choice_faults
from kdrun.config.parse import parse, unknown_key
from kdrun.config.preset_lists import check_preset_lists
from kdrun.config.sweep_overrides import as_typed
from kdrun.config.value_faults import declared_type, explain
from kdrun.errors import ConfigError
from kdrun.escaping import show

MANY = 20
"""Number of jobs from which the check is announced."""

MOST = 8
"""Largest number of faults that are reported."""


def check_jobs(config: DictConfig, jobs: Sequence[Sequence[str]]) -> None:
    """Check the config of every job, or prevent the first from starting.

    Every distinct choice of groups is composed once; other values are set in a copy.

    Args:
        config: config of the command line, with Hydra's section.
        jobs: plain overrides of every job.

    Raises:
        ConfigError: one line per distinct fault, with the first job that has it.
    """
    if len(jobs) >= MANY:
        show(f"checking the settings of {len(jobs)} jobs", flush=True)
    composed: dict[tuple[str, ...], DictConfig | ConfigError] = {}
    first: dict[str, int] = {}
    for number, job in enumerate(jobs):
        for fault in job_faults(config, job, composed):
            first.setdefault(fault, number)
    if first:
        lines = [f"{fault} (job {number}; none was started)" for fault, number in first.items()]
        more = [f"{len(lines) - MOST} more faults; no job was started"] * (len(lines) > MOST)
        raise ConfigError("\n".join([*lines[:MOST], *more]))
    leave_to_kdrun()


def leave_to_kdrun() -> None:
    """Let Hydra not compose all jobs again; that takes a minute for 200 jobs."""
    Sweeper.validate_batch_is_legal = _nothing  # type: ignore[method-assign, assignment]


def _nothing(sweeper: Sweeper, batch: object) -> None:
    """Replace Hydra's check of a batch of jobs."""


def job_faults(
    config: DictConfig,
    job: Sequence[str],
    composed: dict[tuple[str, ...], DictConfig | ConfigError],
) -> list[str]:
    """Return the faults of one job.

    Args:
        composed: configs by their choice of groups, extended by this job's.
    """
    choices = tuple(one for one in job if chooses(one))
    if choices not in composed:
        composed[choices] = chosen_config(config, choices)
    base = composed[choices]
    if isinstance(base, ConfigError):
        return str(base).splitlines()
    changed = deepcopy(base)
    faults = list(set_values(changed, [one for one in job if one not in choices]))
    try:
        parse(changed)
    except ConfigError as error:
        faults += [line for line in str(error).splitlines() if line not in faults]
    return faults


def chooses(override: str) -> bool:
    """Whether a plain override is for Hydra: an option of kdrun's or the user's groups."""
    key = override.partition("=")[0]
    return key in group_names() or declared_type(key) is None


def chosen_config(config: DictConfig, choices: Sequence[str]) -> DictConfig | ConfigError:
    """Compose the config of a choice of groups with the running Hydra, or return the error."""
    read = OverridesParser.create().parse_overrides(list(choices))
    if faults := choice_faults(read, choices):
        return ConfigError("\n".join(faults))
    try:
        # Plain overrides have lost the + of groups that only the user has.
        added = {one.lstrip("+").partition("=")[0]: one for one in as_typed(config.hydra)}
        composed_as = [
            "+" * (len(typed) - len(typed.lstrip("+"))) + one
            for one in choices
            if (typed := added.get(one.partition("=")[0], one))
        ]
        folders = [Path(one.path) for one in config.hydra.runtime.config_sources]
        check_preset_lists(choices, folders)
        whole = GlobalHydra.instance().config_loader().load_sweep_config(config, composed_as)
        plain = {key: whole._get_node(key) for key in whole if key != "hydra"}
        return OmegaConf.create(plain, flags={"struct": True})
    except ConfigError as error:
        return error
    except (HydraException, OmegaConfBaseException) as error:
        return ConfigError(one_line(error, choices))


def set_values(config: DictConfig, values: Sequence[str]) -> Iterator[str]:
    """Set `key=value` in a config; yield the errors."""
    for text in values:
        key = text.partition("=")[0]
        try:
            value = OverridesParser.create().parse_override(text).value()
            OmegaConf.update(config, key, value, force_add=key.startswith("chain.stage."))
        except (ConfigKeyError, ConfigAttributeError):
            yield unknown_key(key)
        except OmegaConfBaseException as error:
            yield explain(str(error.full_key or key), error)
