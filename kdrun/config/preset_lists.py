"""Lists of presets, such as loss=[kd,dkd], and their contradictions."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from kdrun.catalog.terms import TERMS
from kdrun.config.parse import flat_mapping
from kdrun.errors import ConfigError

ALONE = "none"
"""Name of the empty preset."""

GROUPS = ("loss",)
"""Groups that take a list of presets."""

WEIGHTS = {row.weight for row in TERMS.values()}


def check_preset_lists(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuse lists of presets that contradict each other.

    Args:
        overrides: overrides of the command line.
        folders: Hydra's search path for presets.

    Raises:
        ConfigError: two presets enable the same term, or give one key different values.
    """
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    faults = [
        fault
        for group, options in chosen_lists(overrides).items()
        for fault in list_faults(group, options, partial(load_preset, folders), given)
    ]
    if faults:
        raise ConfigError("\n".join(faults))


def load_preset(folders: Sequence[Path], name: str) -> DictConfig:
    """Load `group/option` from the first folder with this preset; empty without one."""
    paths = (folder / f"{name}.yaml" for folder in folders)
    found = next((path for path in paths if path.is_file()), None)
    content = OmegaConf.create({}) if found is None else OmegaConf.load(found)
    return content if isinstance(content, DictConfig) else OmegaConf.create({})


def chosen_lists(overrides: Sequence[str]) -> dict[str, list[str]]:
    """Return the groups with several selected options, and these options."""
    parser = OverridesParser.create()
    found: dict[str, list[str]] = {}
    for override in overrides:
        group, _, value = override.partition("=")
        if group in GROUPS and value.startswith("["):
            options = parser.parse_override(override).value()
            found[group] = [str(one) for one in options] if isinstance(options, list) else []
    return {group: options for group, options in found.items() if len(options) > 1}


def list_faults(
    group: str, options: Sequence[str], load: Callable[[str], DictConfig], given: set[str]
) -> Iterator[str]:
    """Yield an error for each pair of presets that contradict each other."""
    listed = f"{group}=[{','.join(options)}]"
    if ALONE in options:
        yield f"{listed}: {ALONE} cannot be combined with others"
        return
    contents = [flat_content(load(f"{group}/{option}"), f"{group}.") for option in options]
    for (one, ours), (other, theirs) in combinations(zip(options, contents, strict=True), 2):
        for key in (key for key in ours if key in theirs):
            if key.count(".") > 1 and key.rpartition(".")[2] in WEIGHTS:
                yield f"{listed}: {one} and {other} both set {key}; choose one of them"
            elif ours[key] != theirs[key] and key not in given:
                yield (
                    f"{listed}: {one} sets {key}={ours[key]} and {other} {key}={theirs[key]}; "
                    f"set {key}"
                )


def flat_content(preset: DictConfig, prefix: str) -> dict[str, Any]:
    """Return the value of every dotted key that a preset sets."""
    content = OmegaConf.to_container(preset)
    return flat_mapping(content, prefix) if isinstance(content, dict) else {}
