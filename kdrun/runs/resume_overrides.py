"""Settings that may change when a run is resumed. Imports no torch."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from kdrun.config.parse import keys, unknown_key
from kdrun.errors import ConfigError
from kdrun.plan.identity import NO_IDENTITY

CHANGEABLE = {f"train.{name}" for name in NO_IDENTITY} | {
    *("teacher.min_accuracy", "analysis", "logger", "output_root"),
    *("dataset.root", "dataset.download"),  # whose images are compared with those of before
}
"""What does not change the result."""

EPOCHS = "train.epochs"
"""What may be raised."""


def checked_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """The overrides by key.

    Raises:
        ConfigError: one is no setting, or would change the result.
    """
    changes: dict[str, Any] = {}
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals:
            raise ConfigError(f"{override}: is no setting, which is written key=value")
        if key not in keys():
            raise ConfigError(unknown_key(key))
        if key not in CHANGEABLE | {EPOCHS}:
            raise ConfigError(
                f"{key}: would change the result, so that nothing trained before could be used; "
                f"start a new run with it (resume takes {', '.join(sorted(CHANGEABLE))}, and "
                f"more {EPOCHS})"
            )
        changes[key] = value_of(override)
    return changes


def checked_places(overrides: Sequence[str]) -> dict[str, Any]:
    """Those by key with which a finished run is opened, which is not trained on.

    Raises:
        ConfigError: as of `checked_overrides`.
    """
    changes = checked_overrides(overrides)
    if EPOCHS in changes:
        raise ConfigError(f"{EPOCHS}: nothing is trained here; 'kdrun resume' takes it")
    return changes


def value_of(override: str) -> Any:
    """The value of `key=value`, read as `kdrun key=value` reads it.

    Raises:
        ConfigError: it is none, or several to sweep over.
    """
    try:
        read = OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ConfigError(f"{override}: cannot be read as a value") from error
    if read.is_sweep_override():
        raise ConfigError(f"{override}: what goes on takes one value, not several")
    return read.value()
