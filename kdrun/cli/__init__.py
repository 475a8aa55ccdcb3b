"""The command line. Handles signals before it imports anything."""

import signal
import sys

from kdrun.early_signals import put_back, set_early_handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: "Sequence[str] | None" = None) -> None:
    """Run `kdrun` with the arguments (the command line's by default) and leave with its code."""
    before = set_early_handlers()
    try:
        from kdrun.cli.main import main as whole

        # The import put the module of that name here in its place.
        setattr(sys.modules[__name__], "main", _entry)  # noqa: B010
        put_back(before, signal.SIGINT)  # from here on a KeyboardInterrupt is caught
        whole(arguments)
    finally:
        if arguments is not None:  # else they stay while the interpreter ends
            put_back(before)


_entry = main

__all__ = ["main"]
