"""Errors of the composition of a config, one line each."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from kdrun.config.flags import CONFIG, Words
from kdrun.config.hydra_faults import hydra_line
from kdrun.config.option_faults import missing_option
from kdrun.config.parse import parse, unknown_key
from kdrun.config.paths import config_folder
from kdrun.config.unreadable import unreadable
from kdrun.config.value_faults import declared_type, explain
from kdrun.errors import ConfigError


def all_faults(words: Words, error: Exception) -> list[str]:
    """Return the errors of single overrides, then those of the config composed of the others."""
    if set(words.flags) & {*CONFIG, "--multirun"} or any(
        one.startswith("hydra") for one in words.rest
    ):
        return [one_line(error, words.rest)]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        found = {override: _fault_of(override) for override in words.rest}
        faults = [fault for fault in found.values() if fault] or [one_line(error)]
        try:
            parse(compose("config", [o for o, fault in found.items() if fault is None]))
        except ConfigError as rest:
            named = {fault.partition("=")[0] for fault in faults}
            faults += [one for one in str(rest).splitlines() if one.partition(":")[0] not in named]
        except (HydraException, OmegaConfBaseException):  # a sweep's values
            pass
    return faults


def _fault_of(override: str) -> str | None:
    try:
        compose("config", [override])
    except (HydraException, OmegaConfBaseException) as error:
        return one_line(error, [override])
    return None


def one_line(error: Exception, overrides: Sequence[str] = ()) -> str:
    """Return the error of Hydra or OmegaConf on one line, with what to write instead.

    Args:
        overrides: overrides that may have caused it.
    """
    if isinstance(error, MissingConfigException):
        return missing_option(error)
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, error)
    cause = error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return unknown_key(_as_given(str(cause.full_key), overrides))
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        key = _as_given(str(cause.full_key), overrides)
        return explain(key, cause) if declared_type(key) else unknown_key(key)
    if isinstance(error, OmegaConfBaseException):
        return explain(str(error.full_key), error)
    return hydra_line(error)


def _as_given(key: str, overrides: Sequence[str]) -> str:
    """Return the whole key of the override that OmegaConf's error names only in part."""
    given = (one.lstrip("+~").partition("=")[0] for one in overrides)
    return next((one for one in given if one.startswith(f"{key}.")), key)
