"""Composition by Hydra: the app around a task, one-line errors in place of Hydra's own."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from kdrun.config import model_groups
from kdrun.config.parse import explain, parse, unknown_key
from kdrun.config.paths import config_folder, shipped_options
from kdrun.config.preset_lists import check_preset_lists
from kdrun.config.schema import Config
from kdrun.errors import ConfigError, near_miss

Task = Callable[[DictConfig], Any]

FULL_ERROR = "HYDRA_FULL_ERROR"


class CallbackFailed(BaseException):
    """What one of Hydra's callbacks raised, in a form that Hydra lets through.

    Of every Exception it makes a warning, and goes on.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def register() -> None:
    """Give Hydra the schema and the options of `teacher` and `student`."""
    schema = OmegaConf.structured(Config)
    OmegaConf.set_struct(schema.chain.stage, False)  # its keys are the stages that there are
    ConfigStore.instance().store(name="schema", node=schema)
    model_groups.register()


def run_app(arguments: Sequence[str], task: Task) -> None:
    """Hand the arguments to Hydra, which composes the config and calls the task, once or a sweep.

    Raises:
        ConfigError: every fault that Hydra or `parse` finds, a line each.
        Exception: the first that the task raised, or else a callback.
    """
    register()
    sys.argv = ["kdrun", *arguments]
    raised: list[Exception] = []

    def quiet(composed: DictConfig) -> Any:
        try:
            hydra_config = HydraConfig.get()
            sources = [Path(one.path) for one in hydra_config.runtime.config_sources]
            check_preset_lists(list(hydra_config.overrides.task), sources)
            return task(composed)
        except Exception as error:  # Hydra would print of it in its own way before raising it
            raised.append(error)

    app = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")
    try:
        with _hydra_raises():
            app(quiet)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError("\n".join(_all_faults(arguments, error))) from error
    except CallbackFailed as failed:
        raise [*raised, failed.error][0] from None
    except SystemExit:
        if not raised:
            raise
    if raised:  # which the exit code of a closed sweep must not hide
        raise raised[0]


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Let Hydra raise instead of printing in its own way and leaving with status 1."""
    given = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        if given is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = given


def compose_job(overrides: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """The config of one job, as Hydra composes it for the command line.

    Args:
        overrides: of the job.
        config_dir: a folder of the user's own YAML.

    Raises:
        ConfigError: an override that cannot be used.
    """
    return _composed(overrides, config_dir)


@contextmanager
def whole_config(overrides: Sequence[str], config_dir: Path | None = None) -> Iterator[DictConfig]:
    """The config of one job with Hydra's own section, to which its references may lead.

    Hydra's state is put back afterwards, so that this may be called while Hydra runs a sweep.

    Raises:
        ConfigError: an override that cannot be used.
    """
    state = Singleton.get_state()
    try:
        whole = _composed(overrides, config_dir, hydra_too=True)
        HydraConfig.instance().set_config(whole)
        yield whole
    finally:
        Singleton.set_state(state)


def _composed(
    overrides: Sequence[str], config_dir: Path | None, hydra_too: bool = False
) -> DictConfig:
    register()
    added = [] if config_dir is None else [f"file://{config_dir.absolute()}"]
    path = f"hydra.searchpath=[{','.join(['architectures://', *added])}]"
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("config", [path, *overrides], return_hydra_config=hydra_too)
            folders = [config_folder(), *([] if config_dir is None else [config_dir])]
            check_preset_lists(overrides, folders)
            return composed
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error)) from error


def _all_faults(arguments: Sequence[str], error: Exception) -> list[str]:
    """The faults of each override by itself, then those of the config that the others compose."""
    overrides = [a for a in arguments if re.match(r"[+~]*[A-Za-z_][\w./@]*=", a)]
    if len(overrides) != len(arguments):  # flags such as -m or --config-dir change the rules
        return [_one_line(error)]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        found = {override: _fault_of([override]) for override in overrides}
        faults = [fault for fault in found.values() if fault] or [_one_line(error)]
        try:
            parse(compose("config", [o for o, fault in found.items() if fault is None]))
        except ConfigError as rest:
            faults += str(rest).splitlines()
    return faults


def _fault_of(overrides: list[str]) -> str | None:
    try:
        compose("config", overrides)
    except (HydraException, OmegaConfBaseException) as error:
        return _one_line(error)
    return None


def _one_line(error: Exception) -> str:
    """What Hydra or OmegaConf says, in one line with a near miss."""
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, OverrideParseException):
        given = " ".join(str(error.override).split())  # the override may hold line breaks
        return f"cannot read {given}: put a value with = or , in quotes: 'key=\"a=b\"'"
    cause = error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return unknown_key(str(cause.full_key))
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        return explain(str(cause.full_key), cause)
    if isinstance(error, OmegaConfBaseException):
        return explain(str(error.full_key), error)
    return " ".join(str(error).split())


def _missing_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    options = error.options or shipped_options(group)  # of a list Hydra knows none
    if not group:
        return " ".join(str(error).split())
    above, _, inner = group.partition("/")
    if nested := [name for name in shipped_options(above) if "/" in name]:
        group, option, options = above, "/".join(filter(None, (inner, option))), nested
    same = [name for name in options if name.endswith(f"/{option}")]
    close = f"; did you mean '{same[0]}'?" if same else near_miss(option, options)
    hint = close or f"; one of {', '.join(options[:8])}"
    return f"unknown {group} '{option}'{hint} ({len(options)} options: kdrun --help lists them)"
