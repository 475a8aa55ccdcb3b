"""YAML as plain data of bounded size, without aliases and Python tags."""

from typing import Any

import yaml

LARGEST = 4 * 2**20
"""Largest file read, in bytes."""

MOST = 200_000
"""Largest number of values in a file."""

DEEPEST = 40
"""Deepest nesting of lists and mappings."""

# The C loader is ten times as fast; not every build of PyYAML has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ENDS = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_STARTS = (yaml.SequenceStartEvent, yaml.MappingStartEvent)


def load_plain(content: bytes) -> Any:
    """Read untrusted YAML.

    Raises:
        ValueError, yaml.YAMLError: not YAML, too large, or with aliases.
    """
    if len(content) > LARGEST:
        raise ValueError(f"it has {len(content):,} bytes, more than the limit of {LARGEST:,}")
    _check_events(content)
    return yaml.load(content, Loader=_LOADER)


def _check_events(content: bytes) -> None:
    """Refuse oversized content before it is built: nested aliases expand to billions of values."""
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
