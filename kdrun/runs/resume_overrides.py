"""Settings that may change when a run is resumed. Imports no torch."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from kdrun.config.parse import keys, unknown_key
from kdrun.config.path_overrides import readable
from kdrun.config.paths import shipped_groups
from kdrun.config.unreadable import unreadable
from kdrun.errors import ConfigError
from kdrun.plan.identity import NO_IDENTITY

CHANGEABLE = {f"train.{name}" for name in NO_IDENTITY} | {
    "teacher.min_accuracy",
    "analysis",
    "logger",
    "output_root",
    "dataset.root",  # the images are compared with the earlier ones
    "dataset.download",
}
"""Settings that do not change the result."""

EPOCHS = "train.epochs"
"""Setting that may be raised."""


def checked_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the overrides by key.

    Raises:
        ConfigError: an override is not a setting, or would change the result.
    """
    changes: dict[str, Any] = {}
    for override in readable(overrides):
        key, equals, _ = override.partition("=")
        if not equals:
            raise ConfigError(
                f"{override}: is not a setting; write key=value (resume takes one folder)"
            )
        if key not in (*keys(), *shipped_groups()):
            raise ConfigError(unknown_key(key))
        if key not in CHANGEABLE | {EPOCHS}:
            raise ConfigError(
                f"{key}: would change the result, so nothing trained so far could be used; "
                f"start a new run (resume takes {', '.join(sorted(CHANGEABLE))}, and "
                f"more {EPOCHS})"
            )
        changes[key] = value_of(override)
    return changes


def checked_places(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the overrides by key for opening a finished run without training.

    Raises:
        ConfigError: see `checked_overrides`.
    """
    changes = checked_overrides(overrides)
    if EPOCHS in changes:
        raise ConfigError(f"{EPOCHS}: nothing is trained here; 'kdrun resume' takes it")
    return changes


def value_of(override: str) -> Any:
    """Return the value of `key=value`, parsed as on the command line of `kdrun`.

    Raises:
        ConfigError: the text is not a single value.
    """
    try:
        read = OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ConfigError(unreadable(override, error)) from error
    if read.is_sweep_override():
        raise ConfigError(f"{override}: resume takes one value per key")
    return read.value()
