"""Parsing of a composed DictConfig into a checked Config, with all errors at once."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import Field, fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config.chain_checks import CHAIN_CHECKS, at_stage
from kdrun.config.checks import CHECKS
from kdrun.config.loss_checks import LOSS_CHECKS
from kdrun.config.schema import Config, StageConfig
from kdrun.config.stage_overrides import read_stages
from kdrun.config.value_faults import explain, wrong_value
from kdrun.errors import ConfigError, near_miss


def parse(composed: DictConfig) -> Config:
    """Return the checked config; unknown keys, wrong types and ranges are refused together.

    Raises:
        ConfigError: one line per error: key, value, allowed values, a near miss.
    """
    typed = empty_config()
    faults = list(_merge(typed, composed, Config, ""))
    if faults:
        raise ConfigError("\n".join(faults))
    config: Config = OmegaConf.to_object(typed)  # type: ignore[assignment]
    if faults := read_stages(config, _merge):
        raise ConfigError("\n".join(faults))
    faults = _faults(config)
    for position in config.chain.stage:
        own = _faults(at_stage(config, position))
        faults += [f"chain.stage.{position}: {fault}" for fault in own if fault not in faults]
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def empty_config() -> DictConfig:
    """Return a config of the schema without values."""
    return deepcopy(_schema())


@cache
def _schema() -> DictConfig:
    """Return the schema as a config; made once, because a sweep parses every job."""
    return OmegaConf.structured(Config)


def _faults(config: Config) -> list[str]:
    return [fault for check in (*CHECKS, *LOSS_CHECKS, *CHAIN_CHECKS) if (fault := check(config))]


def keys(schema: type = Config, prefix: str = "") -> Iterator[str]:
    """Yield every key of the tree, dotted."""
    hints = get_type_hints(schema)
    for item in fields(schema):
        if is_dataclass(hints[item.name]):
            yield from keys(hints[item.name], f"{prefix}{item.name}.")
        else:
            yield prefix + item.name


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return the value of every dotted key of a config."""
    found: dict[str, Any] = {}
    for item in fields(config):
        value = getattr(config, item.name)
        inner = flat(value, f"{prefix}{item.name}.") if is_dataclass(value) else None
        found |= {prefix + item.name: value} if inner is None else inner
    return found


def flat_mapping(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping)
        found |= flat_mapping(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


OTHER_KEYS = {
    "tau": "loss.T",
    "temp": "loss.T",
    "temperature.T": "loss.T",
    "kd.T": "loss.kl.T",
    "bs": "train.batch_size",
    "learning_rate": "train.lr",
    "wd": "train.weight_decay",
    "num_workers": "train.workers",
    "max_epochs": "train.epochs",
    "gpu": "train.device",
    "data": "dataset.root",
    "data_dir": "dataset.root",
    "output_dir": "output_root",
    "pretrained": "teacher.weights",
    "amp": "train.precision",
    "model": "student",
    "arch": "student",
    "loss.kd": "loss.kl",
    "checkpoint": "teacher.weights",
}
"""Other names of settings in the field."""


def unknown_key(key: str) -> str:
    """Return the error for an unknown key, with the nearest existing key."""
    stage = re.match(r"chain\.stage\.\d+\.", key)
    known = list(keys(StageConfig, stage.group())) if stage else list(keys())
    leaf_above = next((one for one in known if key.startswith(f"{one}.")), None)
    if leaf_above:
        return f"unknown key '{key}': {leaf_above} has no keys below it; write {leaf_above}=..."
    hint = _same_key(key, known) or _similar_key(key, known)
    return f"unknown key '{key}'{hint or ' (kdrun --cfg job lists all)'}"


def _same_key(key: str, known: list[str]) -> str:
    """Return a hint for another spelling of a key: another case, its last part, another name."""
    plain = key.casefold().replace("/", ".")
    sections = sorted({name.rpartition(".")[0] for name in known} - {""})
    below = [name for name in (*sections, *known) if plain == name.casefold()]
    below += sorted((n for n in known if n.casefold().endswith(f".{plain}")), key=_depth)
    name, dot, rest = plain.partition(".")
    if not below and plain not in OTHER_KEYS and dot:
        below = [f"{one}.{rest}" for one in (OTHER_KEYS.get(name),) if f"{one}.{rest}" in known]
    other = below[0] if below else next((v for k, v in OTHER_KEYS.items() if k == plain), None)
    return f"; did you mean '{other}'?" if other else ""


def _depth(key: str) -> tuple[int, int]:
    """Sort key: settings of whole sections first; training before the rest."""
    return key.count("."), 0 if key.startswith(("loss", "train")) else 1


def _similar_key(key: str, known: list[str]) -> str:
    """Return a hint for a key whose last part is nearly that of a known one."""
    leaf, by_leaf = key.rpartition(".")[2], {name.rpartition(".")[2]: name for name in known}
    sections = {name.rpartition(".")[0] for name in known} - {""}
    longer = [name for end, name in by_leaf.items() if end.startswith(f"{leaf}_")]
    if longer and "." not in key:
        return f"; did you mean '{longer[0]}'?"
    # A common section alone does not make two keys similar.
    similar = [n for n in (*known, *sections) if near_miss(leaf, [n.rpartition(".")[2]])]
    hint = near_miss(key, similar)
    return hint or (f"; did you mean '{by_leaf[leaf]}'?" if leaf in by_leaf else "")


def _merge(typed: DictConfig, composed: DictConfig, schema: type, prefix: str) -> Iterator[str]:
    """Copy the values one by one; yield the errors."""
    hints = get_type_hints(schema)
    declared = {item.name: item for item in fields(schema)}
    for name in map(str, composed):
        key = f"{prefix}{name}"
        if name not in declared:
            yield unknown_key(key)
        elif is_dataclass(hints[name]):
            yield from _merge_section(typed, composed, name, hints[name], key)
        elif fault := _set(typed, composed, declared[name], key):
            yield fault


def _merge_section(
    typed: DictConfig, composed: DictConfig, name: str, schema: type, key: str
) -> Iterator[str]:
    section = composed._get_node(name)
    if isinstance(section, DictConfig) and not section._is_none() and not section._is_missing():
        yield from _merge(typed[name], section, schema, f"{key}.")
    else:
        yield wrong_value(key, section, schema, None)


def _set(typed: DictConfig, composed: DictConfig, item: Field, key: str) -> str | None:
    """Set one leaf; return an error or None."""
    try:
        value: Any = composed[item.name]
        typed[item.name] = value
    except OmegaConfBaseException as error:
        return explain(key, error)
    rule = item.metadata.get("rule")
    value = typed[item.name]
    if rule is None or value is None:
        return None
    fault = rule.fault(value)
    shown = f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
    return f"{key}={shown}: {fault}" if fault else None
