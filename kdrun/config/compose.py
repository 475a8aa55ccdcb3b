"""Config composition by Hydra, with one-line errors."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.errors import (
    HydraException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config import model_groups, optuna_sweeper
from kdrun.config.composition_faults import all_faults, one_line
from kdrun.config.flags import CONFIG, Words, check_modes, split_words
from kdrun.config.hydra_faults import quiet_warnings
from kdrun.config.option_faults import choice_faults
from kdrun.config.parse import keys
from kdrun.config.path_overrides import readable
from kdrun.config.paths import config_folder
from kdrun.config.preset_lists import check_preset_lists
from kdrun.config.schema import Config
from kdrun.config.unreadable import on_one_line, read_words, several_values
from kdrun.config.value_faults import is_list
from kdrun.errors import ConfigError
from kdrun.store.home import expand_home

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
    words = split_words(arguments)
    words = readable_words(words)
    check_modes(words)
    if "--shell-completion" not in words.flags:
        check_overrides(words)
    register()
    sys.argv = ["kdrun", *words.as_arguments()]
    raised: list[Exception] = []

    def quiet(composed: DictConfig) -> Any:
        try:
            hydra_config = HydraConfig.get()
            if hydra_config.job.chdir:
                os.chdir(hydra_config.runtime.cwd)  # to which relative paths belong
            check_hydra(hydra_config)
            sources = [Path(one.path) for one in hydra_config.runtime.config_sources]
            typed: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)  # type: ignore[arg-type]
            check_preset_lists([str(one) for one in typed], sources)
            return task(composed)
        except JobFailed:  # for the sweeper
            raise
        except Exception as error:  # Hydra would print its own message before raising
            raised.append(error)

    app = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")
    try:
        with _hydra_raises():
            app(quiet)()
    except (HydraException, OmegaConfBaseException, UserWarning) as error:
        raise ConfigError("\n".join(all_faults(words, error))) from error
    except CallbackFailed as failed:
        raise [*raised, failed.error][0] from None
    except SystemExit:
        if not raised:
            raise
    if raised:  # the exit code of a closed sweep must not hide the error
        raise raised[0]


def readable_words(words: Words) -> Words:
    """Return the words with paths that Hydra reads as they were meant."""
    folders = {name: value and str(expand_home(value)) for name, value in words.flags.items()}
    flags = {name: folders[name] if name in CONFIG else words.flags[name] for name in words.flags}
    return Words(flags, readable(words.rest, "--multirun" in words.flags))


def check_overrides(words: Words) -> None:
    """Refuse words that are not settings, and choices that are not names of options.

    Raises:
        ConfigError: one line per fault.
    """
    overrides = read_words(words.rest)
    faults = choice_faults(overrides, words.rest)
    if "--multirun" not in words.flags:
        lists = {key for key in keys() if is_list(key)}
        pairs = zip(overrides, words.rest, strict=True)
        faults += [several_values(word, lists) for one, word in pairs if one.is_sweep_override()]
    if faults:
        raise ConfigError("\n".join(map(on_one_line, faults)))


def check_hydra(section: HydraConf | DictConfig) -> None:
    """Refuse settings of Hydra that kdrun's paths do not allow.

    Raises:
        ConfigError: one of them is set.
    """
    for key, value in (("hydra.run.dir", section.run.dir), ("hydra.sweep.dir", section.sweep.dir)):
        if not str(value).strip():
            raise ConfigError(f"{key}={value}: must name a folder; leave it out for a new one")


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Make Hydra raise its errors instead of printing them and exiting with status 1."""
    given = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        with quiet_warnings():
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
        register()  # Hydra's state has no plugins that were registered by a process


@contextmanager
def hydra_ready() -> Iterator[None]:
    """Let Hydra compose configs of kdrun inside the block."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield


def search_path(config_dir: Path | None) -> list[str]:
    """Return the override that adds the user's own YAML to what is searched, if there is any."""
    return [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir.absolute()}]"]


def _composed(
    overrides: Sequence[str], config_dir: Path | None, hydra_too: bool = False
) -> DictConfig:
    try:
        with quiet_warnings(), hydra_ready():
            words = [*search_path(config_dir), *readable(overrides)]
            composed = compose("config", words, return_hydra_config=hydra_too)
            folders = [config_folder(), *([] if config_dir is None else [config_dir])]
            check_preset_lists(overrides, folders)
            return composed
    except (HydraException, OmegaConfBaseException, UserWarning) as error:
        raise ConfigError(one_line(error)) from error
