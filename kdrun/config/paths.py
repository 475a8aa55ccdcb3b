"""Paths of the shipped YAML files."""

from pathlib import Path


def config_folder() -> Path:
    """Inside the package in a wheel, beside it in a checkout or an editable install."""
    package = Path(__file__).resolve().parent.parent
    return next(d for d in (package / "configs", package.parent / "configs") if d.is_dir())


def shipped_options(group: str) -> list[str]:
    """What the shipped YAML offers for a group; options in folders of their own by their path."""
    folder = config_folder() / group
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.yaml"))
    return sorted(path.as_posix() for path in found)
