"""Faults of choices of groups, such as `teacher=null` or `loss=kl`, each with what to choose."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException

from kdrun.catalog.architectures import ARCHITECTURES
from kdrun.config.hydra_faults import hydra_line
from kdrun.config.model_groups import GROUPS as MODELS
from kdrun.config.paths import shipped_groups, shipped_options
from kdrun.config.preset_lists import ALONE
from kdrun.config.preset_lists import GROUPS as LISTED
from kdrun.errors import near_miss, some_of

ONE = ("teacher", "student", "dataset", "chain", "temperature", "recipe")
"""Groups of which one option is chosen, never a list."""

OTHER_NAMES = {
    "loss": {"kl": "kd", "hinton": "kd", "soft": "kd", "teacher_argmax": "hard", "ce": "none"},
    "chain": {"ta": "assistants", "takd": "assistants", "ban": "born_again", "direct": "none"},
    "temperature": {"fixed": "constant", "ctkd": "learned"},
}
"""Other names of options in the field, or of the same method in other settings."""

EXTRAS = {
    "hydra/launcher": {
        "joblib": "joblib",
        "ray": "ray",
        "ray_aws": "ray",
        "submitit_local": "submitit",
        "submitit_slurm": "submitit",
    },
    "hydra/sweeper": {"optuna": "optuna"},
}
"""Extras of kdrun that install options of Hydra's groups."""

WRITTEN_OUT = 20
"""Largest number of options that a message lists."""

WEIGHTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".tar", ".pt2", ".onnx")
"""Endings of files of weights."""

SECTIONS = ("dataset", "teacher", "student", "loss", "temperature", "chain", "cache", "train")


def choice_faults(overrides: Sequence[Override], words: Sequence[str]) -> list[str]:
    """Return a line per choice of a group that is not the name of an option.

    Args:
        overrides: read overrides.
        words: the same overrides as given.
    """
    pairs = zip(overrides, words, strict=True)
    return [fault for override, word in pairs if (fault := choice_fault(override, word))]


def choice_fault(override: Override, word: str) -> str | None:
    """Return the error for the choice of a group, None for a name or another setting."""
    key = override.key_or_group
    if not key:
        return f"{word}: has no key; write key=value"
    if override.is_delete():
        return _deleted(key, word)
    if key not in shipped_groups() and "/" not in key and key != "hydra":
        return None
    if override.is_sweep_override():
        return None
    return _not_a_name(key, override.value(), word)


def _deleted(key: str, word: str) -> str | None:
    if key.partition(".")[0] not in (*SECTIONS, *shipped_groups()):
        return None
    return f"{word}: every setting of kdrun has a value; write {key}=..., or leave {word} out"


def _not_a_name(group: str, value: Any, word: str) -> str | None:
    if group == "temperature" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{word}: chooses a schedule ({names_of(group)}); a number is set by loss.T={value}"
    none = f"{group}={ALONE}" if ALONE in shipped_options(group) else ""
    if value in ("", []) or (isinstance(value, list) and None in value):
        return f"{word}: names no option; one of {names_of(group)}"
    if isinstance(value, list) and group in ONE:
        inner = ",".join(map(str, value))
        return f"{word}: takes one name; write {group}={value[0]}, or kdrun -m {group}={inner}"
    if isinstance(value, str | list):
        return None
    meant = f"did you mean {none}?" if none else f"one of {names_of(group)}"
    return f"{word}: is not the name of an option; {meant}"


def names_of(group: str) -> str:
    """Return the options of a group as a list for a message, shortened if long."""
    found = shipped_options(group) or sorted(EXTRAS.get(group, ()))
    if group in MODELS:
        found = sorted([*ARCHITECTURES, *found])
    return listed(found) if found else "its options"


def listed(options: Sequence[str]) -> str:
    """Return all options if few, else the first with a count."""
    if len(options) < WRITTEN_OUT:
        return ", ".join(options)
    return f"{some_of(options)} ({len(options)} options: kdrun --help lists them)"


def missing_option(error: MissingConfigException) -> str:
    """Return the error for an unknown option of a group, with the nearest or all options."""
    missing = str(error.missing_cfg_file or "")
    groups = [group for group in shipped_groups() if missing.startswith(f"{group}/")]
    group = groups[0] if groups else missing.rpartition("/")[0]
    option = missing[len(group) + 1 :]
    if not group:
        return hydra_line(error)
    if group in LISTED or not error.options:  # Hydra gives none for a list
        options = shipped_options(group)
    else:
        options = list(error.options)
    if nested := [name for name in shipped_options(group) if "/" in name]:
        options = nested
    return f"unknown {group} '{option}'{_remedy(group, option, options)}"


def _remedy(group: str, option: str, options: Sequence[str]) -> str:
    """Return what to write in place of an unknown option, or to install."""
    if extra := EXTRAS.get(group, {}).get(option):
        return f": not installed; pip install 'kdrun[{extra}]'"
    inside = [name for name in options if name.startswith(f"{option.rstrip('/')}/")]
    if inside:
        return f": a folder; one of {listed(inside)}"
    if path := _as_path(group, option):
        return f"; {path}"
    other = OTHER_NAMES.get(group, {}).get(option.casefold())
    ends = [name for name in options if name.endswith(f"/{option}")]
    known = other or (ends[0] if ends else None)
    if known:
        return f"; did you mean '{known}'?"
    return near_miss(option, options) or f"; one of {listed(options)}"


def _as_path(group: str, option: str) -> str | None:
    """Return how a file or folder is given, if the option looks like one."""
    likely = option[:1] in ("/", ".", "~") or os.path.exists(option)
    if not likely and Path(option).suffix not in WEIGHTS:
        return None
    if group in MODELS:
        return f"a file of weights is given by {group}=ARCHITECTURE {group}.weights={option}"
    if group == "dataset":
        return f"a folder of images is given by dataset=imagefolder dataset.root={option}"
    return None
