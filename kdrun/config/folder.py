"""Where the shipped YAML lives."""

from pathlib import Path


def config_folder() -> Path:
    """Inside the package in a wheel, beside it in a checkout or an editable install."""
    package = Path(__file__).resolve().parent.parent
    return next(d for d in (package / "configs", package.parent / "configs") if d.is_dir())
