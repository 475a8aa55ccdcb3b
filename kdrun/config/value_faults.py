"""Errors of values of the wrong type, told from the schema: the key, the value, what it takes."""

import re
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import (
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from kdrun.catalog.options import Choice, Pattern, Range, Rule
from kdrun.config.schema import Config, StageConfig
from kdrun.errors import near_miss, reason

STAGE = re.compile(r"chain\.stage\.\d+\.")
"""Prefix of the options of one stage."""

CHOSEN = {"dataset.name": "dataset", "teacher.arch": "teacher", "student.arch": "student"}
"""Keys that a group sets, by the group."""

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def explain(key: str, error: OmegaConfBaseException) -> str:
    """Return OmegaConf's error for a value on one line."""
    if isinstance(error, MissingMandatoryValue):
        group = CHOSEN.get(key)
        remedy = f"choose it by {group}=NAME, or set {key}=NAME" if group else f"set {key}=..."
        return f"{key}: must be given; {remedy}"
    if isinstance(error, InterpolationResolutionError):
        return f"{key}: {lower(reason(error))}; name an existing key or variable"
    declared = declared_type(key)
    if declared is None:
        return f"{key}: {lower(reason(error))}"
    if not isinstance(error, ValidationError):  # such as a mapping in place of a list
        return f"{key}: must be {kind(*declared)}"
    return wrong_value(key, error.value, *declared)


def lower(message: str) -> str:
    """Return the message with a small first letter."""
    return f"{message[:1].lower()}{message[1:]}"


def declared_type(key: str) -> tuple[Any, Rule | None] | None:
    """Return type and rule of a key, an element of a list or a section; None if unknown."""
    stage = STAGE.match(key)
    found: Any = StageConfig if stage else Config
    rule: Rule | None = None
    for name in key[stage.end() if stage else 0 :].partition("[")[0].split("."):
        known = {item.name: item for item in fields(found)} if is_dataclass(found) else {}
        if name not in known:
            return None
        rule = known[name].metadata.get("rule")
        found = get_type_hints(found)[name]
    return found, rule


def is_list(key: str) -> bool:
    """Whether a key takes a list."""
    declared = declared_type(key)
    return declared is not None and get_origin(declared[0]) is list


def wrong_value(key: str, value: Any, found: Any, rule: Rule | None) -> str:
    """Return the error for a value that the type of its key does not allow."""
    shown = shown_value(value)
    if is_dataclass(found):
        hint = _switch(key, shown, found) or f"set its keys, such as {key}.{fields(found)[0].name}"
        return f"{key}={shown}: is a section; {hint}"
    if get_origin(found) is list and "[" in key:
        item = kind(get_args(found)[0], None)
        return f"{key.partition('[')[0]}: '{shown}' in the list must be {item}"
    single = get_origin(found) is list and value is not None and not isinstance(value, dict)
    example = f"; write {key}=[{shown}]" if single else _hint(shown, rule)
    return f"{key}={shown}: must be {kind(found, rule)}{example}"


def _switch(key: str, shown: str, section: Any) -> str | None:
    """Return the setting meant by `cache=off`: the first key that allows the word."""
    for item in fields(section):
        rule = item.metadata.get("rule")
        if isinstance(rule, Choice) and shown in rule.words:
            return f"write {key}.{item.name}={shown}"
    return None


def _hint(shown: str, rule: Rule | None) -> str:
    if isinstance(rule, Choice):
        return near_miss(shown, rule.words)
    number = re.match(r"-?[\d.]+(?=[^\d.e])", shown)
    return f"; write {number.group()}" if isinstance(rule, Range) and number else ""


def kind(found: Any, rule: Rule | None) -> str:
    """Return a type with its range in words: `a number above 0 and at most 1000, or inf`."""
    found = next((one for one in get_args(found) if _optional(found) and one in _KINDS), found)
    if isinstance(rule, Choice):
        return f"one of {', '.join(rule.words)}"
    if isinstance(rule, Pattern):
        return f"written as in {rule.examples}"
    if get_origin(found) is dict:
        return "settings of single stages; write chain.stage.1.loss.T=2"
    if get_origin(found) is list:
        return f"a list of {_KINDS[get_args(found)[0]].removeprefix('a ')}s"
    name = _KINDS.get(found, "a value")
    return f"{name} {rule}" if isinstance(rule, Range) else name


def _optional(found: Any) -> bool:
    return type(None) in get_args(found)


def shown_value(value: Any) -> str:
    """Return a value as written on the command line, on one line."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown_value, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
