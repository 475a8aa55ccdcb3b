"""Overrides of a sweep's jobs as a sweep stores them: plain values, safe to compose again."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError, DamagedError

_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=.*", re.DOTALL)
_REFERENCE = re.compile(r"\$\\*\{")  # Hydra writes it as $\{
_OPTION = re.compile(r"""[\w\s.,\[\]'"/+-]*""")


def plain_settings(path: Path, job: Any) -> list[str]:
    """Check a job's overrides; return them without the output root.

    The place of the stages follows from the place of the sweep, so that both can be moved.

    Raises:
        DamagedError: the overrides are not a list of strings.
        ConfigError: an override is not a plain value for a setting.
    """
    if not isinstance(job, list) or not all(isinstance(one, str) for one in job):
        raise DamagedError(f"{path} is damaged: a job is not a list of key=value")
    for override in job:
        if fault := fault_of(override):
            raise ConfigError(f"{path}: {shown(override)}: {fault}, which a sweep never stores")
    return without_root(job)


def without_root(overrides: Iterable[str]) -> list[str]:
    """The overrides except the output root."""
    return [one for one in overrides if one.partition("=")[0] != "output_root"]


def fault_of(override: str) -> str | None:
    """The reason why an override is not a plain value for a setting; None if it is one."""
    key, _, value = override.partition("=")
    if not _SETTING.fullmatch(override):
        return "is not plain key=value"
    if key == "hydra" or key.startswith("hydra."):
        return "is a setting of Hydra's"
    if refers(value):
        return "holds ${...}"
    if "." not in key and key != "output_root" and not is_option(value):
        return "is a path, not the name of an option"
    return None


def refers(value: str) -> bool:
    """Whether a value, as written on the command line, has an interpolation."""
    return _REFERENCE.search(value) is not None


def is_option(value: str) -> bool:
    """Whether a value can be one or several names of a group's options, not paths elsewhere."""
    names = [name.strip(" '\"") for name in value.strip("[] ").split(",")]
    climbing = any(name.startswith("/") or ".." in name.split("/") for name in names)
    return _OPTION.fullmatch(value) is not None and not climbing


def shown(override: str) -> str:
    """An override on one line, truncated if long."""
    text = " ".join(override.split())
    return text if len(text) <= 80 else f"{text[:77]}..."
