"""Reading the config that a run saved; it may come from anyone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.errors import ConfigError, DamagedError, reason
from kdrun.store.files import read_yaml


def saved_config(path: Path) -> DictConfig:
    """The config as it was saved: plain values, which refer to nothing outside."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise DamagedError(f"{path} is damaged: it holds no config")
    # The values, not the text: YAML can write any character as a number.
    if any("${" in text for text in texts(content)):
        raise ConfigError(f"{path}: holds ${{...}}, which a saved config never does")
    try:
        return OmegaConf.create(content)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise DamagedError(f"{path} is damaged: {reason(error)}") from error


def texts(content: Any) -> Iterator[str]:
    """Every text in plain data, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(content, list | tuple | set):  # of YAML's !!set and !!pairs
        for value in content:
            yield from texts(value)
