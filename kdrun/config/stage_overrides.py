"""Overrides of single stages of a chain (`chain.stage`)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from kdrun.config.schema import Config, StageConfig

RUN_WIDE = ("device", "precision", "deterministic", "workers", "threads", "seed")
"""Options of `train` that apply to all stages of a run."""

Merge = Callable[[DictConfig, DictConfig, type, str], Iterator[str]]


def read_stages(config: Config, merge: Merge) -> list[str]:
    """Check `config.chain.stage` and convert its values to the schema's types; return the errors.

    Args:
        config: config checked except for these options; changed in place.
        merge: (typed, composed, schema, prefix) -> errors, from `parse`.
    """
    faults: list[str] = []
    for position, changes in config.chain.stage.items():
        key = f"chain.stage.{position}"
        if not position.isdigit() or not isinstance(changes, Mapping) or not changes:
            faults.append(
                f"{key}: needs a stage 0, 1, ... and an option; write chain.stage.1.loss.T=2"
            )
            continue
        typed = OmegaConf.structured(StageConfig(config.loss, config.temperature, config.train))
        faults += merge(typed, OmegaConf.create(dict(changes)), StageConfig, f"{key}.")
        train = changes.get("train")
        wide = [name for name in RUN_WIDE if isinstance(train, Mapping) and name in train]
        faults += [
            f"{key}.train.{name}: applies to the whole run; set train.{name}" for name in wide
        ]
        config.chain.stage[position] = _typed_values(OmegaConf.to_object(typed), changes)
    return faults


def _typed_values(section: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section's values of the changed keys; unknown keys are left out."""
    known = {item.name for item in fields(section)}
    return {
        name: _typed_values(getattr(section, name), value)
        if is_dataclass(getattr(section, name)) and isinstance(value, Mapping)
        else getattr(section, name)
        for name, value in changes.items()
        if name in known
    }


def stage_options(config: Config, position: int) -> StageConfig:
    """Return loss, temperature and training options of the stage at a position of the chain."""
    common = StageConfig(config.loss, config.temperature, config.train)
    return changed(common, config.chain.stage.get(str(position), {}))


def changed(section: Any, changes: Mapping[str, Any]) -> Any:
    """Return the section with the changes applied, nested sections included."""
    values = {
        name: changed(getattr(section, name), value) if isinstance(value, Mapping) else value
        for name, value in changes.items()
    }
    return replace(section, **values)
