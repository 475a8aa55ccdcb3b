"""Reading of a run's saved config, treated as untrusted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.errors import ConfigError, DamagedError, reason
from kdrun.store.files import read_yaml


def saved_config(path: Path) -> DictConfig:
    """Load a saved config: plain values, without interpolations."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise DamagedError(f"{path} is damaged: it holds no config")
    # Checks the values, not the text: YAML can escape any character.
    if any("${" in text for text in texts(content)):
        raise ConfigError(f"{path}: holds ${{...}}, which a saved config never does")
    try:
        return OmegaConf.create(content)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise DamagedError(f"{path} is damaged: {reason(error)}") from error


def texts(content: Any) -> Iterator[str]:
    """All strings in plain data, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(content, list | tuple | set):  # of YAML's !!set and !!pairs
        for value in content:
            yield from texts(value)
