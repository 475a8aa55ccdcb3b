"""Config composition by Hydra, with one-line errors."""

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

from kdrun.config import model_groups, optuna_sweeper
from kdrun.config.parse import explain, parse, unknown_key
from kdrun.config.path_overrides import ambiguous, readable, unreadable
from kdrun.config.paths import config_folder, shipped_options
from kdrun.config.preset_lists import check_preset_lists
from kdrun.config.schema import Config
from kdrun.errors import ConfigError, near_miss

Task = Callable[[DictConfig], Any]

FULL_ERROR = "HYDRA_FULL_ERROR"


class CallbackFailed(BaseException):
    """Exception of a Hydra callback, wrapped so that Hydra propagates it.

    Hydra turns every Exception of a callback into a warning and continues.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class JobFailed(Exception):
    """Failure of a job that is recorded already, for sweepers that tell failures from scores."""


def register() -> None:
    """Register the schema and the options of `teacher` and `student` with Hydra."""
    schema = OmegaConf.structured(Config)
    OmegaConf.set_struct(schema.chain.stage, False)  # the keys are numbers of stages
    ConfigStore.instance().store(name="schema", node=schema)
    model_groups.register()
    optuna_sweeper.register()


def run_app(arguments: Sequence[str], task: Task) -> None:
    """Compose the config with Hydra and call the task, once or per job of a sweep.

    Raises:
        ConfigError: all errors found by Hydra or `parse`, one line each.
        Exception: the first exception of the task, or else of a callback.
    """
    register()
    arguments = readable(arguments)
    sys.argv = ["kdrun", *arguments]
    raised: list[Exception] = []

    def quiet(composed: DictConfig) -> Any:
        try:
            hydra_config = HydraConfig.get()
            if hydra_config.job.chdir:
                os.chdir(hydra_config.runtime.cwd)  # to which relative paths belong
            sources = [Path(one.path) for one in hydra_config.runtime.config_sources]
            check_preset_lists(list(hydra_config.overrides.task), sources)
            return task(composed)
        except JobFailed:  # for the sweeper
            raise
        except Exception as error:  # Hydra would print its own message before raising
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
    if raised:  # the exit code of a closed sweep must not hide the error
        raise raised[0]


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Make Hydra raise its errors instead of printing them and exiting with status 1."""
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
    """Compose the config of one job as for the command line.

    Args:
        overrides: overrides of the job.
        config_dir: folder with the user's own YAML.

    Raises:
        ConfigError: an override that cannot be used.
    """
    return _composed(overrides, config_dir)


@contextmanager
def whole_config(overrides: Sequence[str], config_dir: Path | None = None) -> Iterator[DictConfig]:
    """Compose the config of one job with Hydra's own section, for references into that section.

    Hydra's state is restored afterwards, so that this also works while Hydra runs a sweep.

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


@contextmanager
def hydra_ready() -> Iterator[None]:
    """Let Hydra compose configs of kdrun inside the block."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield


def search_path(config_dir: Path | None) -> str:
    """Return the override that adds the user's own YAML to what is searched."""
    added = [] if config_dir is None else [f"file://{config_dir.absolute()}"]
    return f"hydra.searchpath=[{','.join(['architectures://', *added])}]"


def _composed(
    overrides: Sequence[str], config_dir: Path | None, hydra_too: bool = False
) -> DictConfig:
    try:
        with hydra_ready():
            words = [search_path(config_dir), *readable(overrides)]
            composed = compose("config", words, return_hydra_config=hydra_too)
            folders = [config_folder(), *([] if config_dir is None else [config_dir])]
            check_preset_lists(overrides, folders)
            return composed
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from error


def _all_faults(arguments: Sequence[str], error: Exception) -> list[str]:
    """Return the errors of single overrides, then those of the config composed of the others."""
    overrides = [a for a in arguments if re.match(r"[+~]*[A-Za-z_][\w./@]*=", a)]
    if len(overrides) != len(arguments):  # flags such as -m or --config-dir change the rules
        return [one_line(error)]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        found = {override: _fault_of([override]) for override in overrides}
        faults = [fault for fault in found.values() if fault] or [one_line(error)]
        try:
            parse(compose("config", [o for o, fault in found.items() if fault is None]))
        except ConfigError as rest:
            faults += str(rest).splitlines()
    return faults


def _fault_of(overrides: list[str]) -> str | None:
    try:
        compose("config", overrides)
    except (HydraException, OmegaConfBaseException) as error:
        return one_line(error)
    return None


def one_line(error: Exception) -> str:
    """Return the error of Hydra or OmegaConf on one line, with a near miss."""
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if isinstance(error, OverrideParseException):
        return unreadable(str(error.override))
    cause = error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
        return unknown_key(str(cause.full_key))
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        return explain(str(cause.full_key), cause)
    if isinstance(error, OmegaConfBaseException):
        return explain(str(error.full_key), error)
    return ambiguous(str(error)) or " ".join(str(error).split())


def _missing_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    options = error.options or shipped_options(group)  # Hydra gives none for a list
    if not group:
        return " ".join(str(error).split())
    above, _, inner = group.partition("/")
    if nested := [name for name in shipped_options(above) if "/" in name]:
        group, option, options = above, "/".join(filter(None, (inner, option))), nested
    same = [name for name in options if name.endswith(f"/{option}")]
    close = f"; did you mean '{same[0]}'?" if same else near_miss(option, options)
    hint = close or f"; one of {', '.join(options[:8])}"
    return f"unknown {group} '{option}'{hint} ({len(options)} options: kdrun --help lists them)"
