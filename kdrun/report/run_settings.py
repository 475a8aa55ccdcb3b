"""Settings of runs, and those in which runs differ."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdrun.plan.identity import NO_IDENTITY
from kdrun.report.seeds_table import SEED
from kdrun.store.files import read_yaml
from kdrun.store.run_folder import OVERRIDES

UNTOLD = {f"train.{name}" for name in NO_IDENTITY} | {
    *("output_root", "analysis", "logger", "teacher.min_accuracy", "hydra.run.dir"),
    "seeds",  # each of them has a row
}
"""Settings that do not tell one result from another."""


def told_settings(folder: Path) -> dict[str, str]:
    """The overrides of a run that bear on its result."""
    lines = map(str, read_yaml(folder / OVERRIDES) or [])
    pairs = (line.partition("=") for line in lines)
    return {key.lstrip("+"): value for key, _, value in pairs if key.lstrip("+") not in UNTOLD}


def fill_settings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Give each row a value of every setting that differs between rows; returns those settings."""
    names = dict.fromkeys(name for row in rows for name in row["settings"])
    options = {name: told_options(rows, name, names) for name in names}
    for row in rows:
        config = row["config"]
        told = dict(row["settings"])
        for name in names:
            values = section(config, name, names)
            if values is not None and values in options[name]:
                told[name] = options[name][values]
        row["settings"] = {
            name: told[name] if name == SEED else setting(config, name, told.get(name))
            for name in names
        }
    for row in rows:
        del row["config"]
    varied = [name for name in names if len({row["settings"][name] for row in rows}) > 1]
    for row in rows:
        row["settings"] = {name: row["settings"][name] for name in varied}
    return varied


def told_options(
    rows: Sequence[Mapping[str, Any]], name: str, names: Collection[str]
) -> dict[str, str]:
    """What a group without a name in the config was told, by the values that it led to.

    So `loss=kd` and the default that is the same are one setting; `[kd]` is `kd`.

    Args:
        rows: with `config` and the `settings` that they were told.
        name: of a setting; {} for one that is no such group.
        names: of all settings; those inside the group have columns of their own.
    """
    found: dict[str, str] = {}
    for row in rows:
        values, told = section(row["config"], name, names), row["settings"].get(name)
        if values is not None and told is not None:
            found.setdefault(values, _bare(told))
    return found


def _bare(option: str) -> str:
    """The option of a list of one."""
    inside = option.removeprefix("[").removesuffix("]").strip()
    return option if "," in inside or not inside else inside


def section(config: Any, name: str, names: Collection[str]) -> str | None:
    """The values of a group as text, without what does not tell results apart or has a column.

    None for what is no group, or has a name in the config.
    """
    value = config.get(name) if OmegaConf.is_dict(config) and "." not in name else None
    if name in GROUPS or not OmegaConf.is_dict(value):
        return None
    return repr(sorted(_leaves(value, name, {*names, *UNTOLD, SEED})))


def _leaves(value: Any, key: str, left_out: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each value inside with its key."""
    if key in left_out and "." in key:
        return
    if OmegaConf.is_dict(value):
        for name in value:
            yield from _leaves(value[name], f"{key}.{name}", left_out)
    else:
        yield key, configured(OmegaConf.create({"one": value}), "one")


GROUPS = {
    **{"teacher": "arch", "student": "arch", "dataset": "name"},
    **{"chain": "method", "temperature": "schedule"},
}
"""Groups by what names the one that was chosen."""


def setting(config: Any, name: str, told: str | None) -> str:
    """What a setting is: its value in the run's config; of a group the name that was told.

    A run that was resumed with another value was told the former one.
    """
    unchained = configured(config, "chain") == "none"
    if unchained and name.startswith("chain.") and name != "chain.control":
        return "-"
    value = configured(config, name)
    return (told or "-") if value == "-" else value


def configured(config: Any, name: str) -> str:
    """A value of the config as it is written on the command line; of a group what names it."""
    value = config
    for part in name.split("."):
        value = value.get(part) if OmegaConf.is_dict(value) else None
    if OmegaConf.is_dict(value):
        value = value.get(GROUPS.get(name, ""))
    if OmegaConf.is_list(value):
        return f"[{','.join(map(str, value))}]"  # as it is written on the command line
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
