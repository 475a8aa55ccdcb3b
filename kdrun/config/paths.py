"""Paths of the shipped YAML files."""

from pathlib import Path


def config_folder() -> Path:
    """Return the folder of configs: in the package in a wheel, next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    return next(d for d in (package / "configs", package.parent / "configs") if d.is_dir())


def shipped_groups() -> list[str]:
    """Return the names of the shipped groups."""
    return sorted(path.name for path in config_folder().iterdir() if path.is_dir())


def shipped_options(group: str) -> list[str]:
    """Return the options of a group in the shipped YAML; nested options by their path."""
    folder = config_folder() / group
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return sorted(path.as_posix() for path in found)
