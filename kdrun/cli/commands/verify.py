"""`kdrun verify`."""

from collections.abc import Sequence

from kdrun.cli.arguments import named_folder
from kdrun.errors import ConfigError
from kdrun.signals import importing


def verify(words: Sequence[str]) -> None:
    """Check every file of a run, a sweep, a stage or a store: `kdrun verify DIR`."""
    folder, rest = named_folder("verify", words)
    if rest:
        raise ConfigError(f"verify takes a folder and nothing else, not {rest[0]}")
    with importing():
        from kdrun.runs.verify import show_verified

    show_verified(folder)
