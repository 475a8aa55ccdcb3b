"""Settings of runs, and their differences."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdrun.plan.identity import NO_IDENTITY
from kdrun.report.seeds_table import SEED
from kdrun.store.files import read_yaml
from kdrun.store.run_folder import OVERRIDES

IRRELEVANT = {f"train.{name}" for name in NO_IDENTITY} | {
    "output_root",
    "analysis",
    "logger",
    "teacher.min_accuracy",
    "hydra.run.dir",
    "seeds",  # each seed has its own row
}
"""Settings that do not distinguish results."""


def result_overrides(folder: Path) -> dict[str, str]:
    """The overrides of a run that affect its result."""
    lines = map(str, read_yaml(folder / OVERRIDES) or [])
    pairs = (line.partition("=") for line in lines)
    return {key.lstrip("+"): value for key, _, value in pairs if key.lstrip("+") not in IRRELEVANT}


def fill_settings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Fill in the settings that differ between rows, and return their names."""
    names = dict.fromkeys(name for row in rows for name in row["settings"])
    options = {name: option_names(rows, name, names) for name in names}
    for row in rows:
        config = row["config"]
        given = dict(row["settings"])
        for name in names:
            values = section(config, name, names)
            if values is not None and values in options[name]:
                given[name] = options[name][values]
        row["settings"] = {
            name: given[name] if name == SEED else setting(config, name, given.get(name))
            for name in names
        }
    for row in rows:
        del row["config"]
    varied = [name for name in names if len({row["settings"][name] for row in rows}) > 1]
    for row in rows:
        row["settings"] = {name: row["settings"][name] for name in varied}
    return varied


def option_names(
    rows: Sequence[Mapping[str, Any]], name: str, names: Collection[str]
) -> dict[str, str]:
    """Map the values of a group without a name in the config to its chosen option.

    Thus `loss=kd` and an equal default are one setting, and `[kd]` is `kd`.

    Args:
        rows: with `config` and the overrides `settings`.
        name: of a setting; {} unless it is such a group.
        names: of all settings; those inside the group have their own columns.
    """
    found: dict[str, str] = {}
    for row in rows:
        values, option = section(row["config"], name, names), row["settings"].get(name)
        if values is not None and option is not None:
            found.setdefault(values, _bare(option))
    return found


def _bare(option: str) -> str:
    """The option inside a list of one, or the text unchanged."""
    inside = option.removeprefix("[").removesuffix("]").strip()
    return option if "," in inside or not inside else inside


def section(config: Any, name: str, names: Collection[str]) -> str | None:
    """The values of a group as text, without irrelevant settings and those with a column.

    None unless it is a group without a name in the config.
    """
    value = config.get(name) if OmegaConf.is_dict(config) and "." not in name else None
    if name in GROUPS or not OmegaConf.is_dict(value):
        return None
    return repr(sorted(_leaves(value, name, {*names, *IRRELEVANT, SEED})))


def _leaves(value: Any, key: str, left_out: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each nested value with its key."""
    if key in left_out and "." in key:
        return
    if OmegaConf.is_dict(value):
        for name in value:
            yield from _leaves(value[name], f"{key}.{name}", left_out)
    else:
        yield key, configured(OmegaConf.create({"one": value}), "one")


GROUPS = {
    "teacher": "arch",
    "student": "arch",
    "dataset": "name",
    "chain": "method",
    "temperature": "schedule",
}
"""Group -> the key that names its chosen option."""


def setting(config: Any, name: str, given: str | None) -> str:
    """The value of a setting in the run's config, or the given option of a group.

    The override of a run that was resumed with another value is outdated.
    """
    unchained = configured(config, "chain") == "none"
    if unchained and name.startswith("chain.") and name != "chain.control":
        return "-"
    value = configured(config, name)
    return (given or "-") if value == "-" else value


def configured(config: Any, name: str) -> str:
    """A value of the config in command-line syntax, or the name of a group's option."""
    value = config
    for part in name.split("."):
        value = value.get(part) if OmegaConf.is_dict(value) else None
    if OmegaConf.is_dict(value):
        value = value.get(GROUPS.get(name, ""))
    if OmegaConf.is_list(value):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):  # in all digits, so that close values are not merged
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return "-" if value is None else str(value)
