"""YAML as plain data of bounded size: no aliases, no tags of Python's own."""

from typing import Any

import yaml

LARGEST = 4 * 2**20
"""Bytes of a file that is read."""

MOST = 200_000
"""Values in a file that is read."""

DEEPEST = 40
"""Lists and mappings inside each other."""

# The one in C is ten times as fast; not every build of PyYAML has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ENDS = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_STARTS = (yaml.SequenceStartEvent, yaml.MappingStartEvent)


def load_plain(content: bytes) -> Any:
    """Read YAML that may come from anyone.

    Raises:
        ValueError, yaml.YAMLError: it is not YAML, too much of it, or it refers to itself.
    """
    if len(content) > LARGEST:
        raise ValueError(f"it has {len(content):,} bytes, and at most {LARGEST:,} are read")
    _check_events(content)
    return yaml.load(content, Loader=_LOADER)


def _check_events(content: bytes) -> None:
    """Refuse what grows when it is built: a few aliases in each other are billions of values."""
    depth = 0
    for count, event in enumerate(yaml.parse(content, Loader=_LOADER)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("it holds an anchor or alias (& or *), which kdrun never writes")
        depth += isinstance(event, _STARTS)
        depth -= isinstance(event, _ENDS)
        if depth > DEEPEST:
            raise ValueError(f"its lists and mappings are more than {DEEPEST} deep")
        if count > MOST:
            raise ValueError(f"it holds more than {MOST:,} values")
