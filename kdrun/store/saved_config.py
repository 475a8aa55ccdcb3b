"""Reading the config that a run saved; it may come from anyone."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.errors import ConfigError, DamagedError, OutputError, reason
from kdrun.store.files import read_yaml


def refuse_links(folder: Path) -> None:
    """Files of ours are never links; one may lead out of the folder.

    Raises:
        OutputError: one is.
    """
    for path in folder.iterdir():
        if path.is_symlink():
            raise OutputError(f"{path}: is a link, and kdrun does not write where links point")


def saved_config(path: Path) -> DictConfig:
    """The config as it was saved: plain values, which refer to nothing outside."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise DamagedError(f"{path} is damaged: it holds no config")
    if "${" in path.read_text(errors="replace"):
        raise ConfigError(f"{path}: holds ${{...}}, which a saved config never does")
    try:
        return OmegaConf.create(content)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise DamagedError(f"{path} is damaged: {reason(error)}") from error
