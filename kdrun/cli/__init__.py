"""Command line. Signals are handled before other imports."""

import signal

from kdrun.early_signals import put_back, set_early_handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: "Sequence[str] | None" = None) -> None:
    """Run `kdrun` with the arguments (default: the command line's) and exit with its code."""
    before = set_early_handlers()
    try:
        if arguments is None:  # before any file is opened
            from kdrun.loggers.streams import outlive_readers

            outlive_readers()
        from kdrun.cli.entry import main as whole

        put_back(before, signal.SIGINT)  # from here on a KeyboardInterrupt is caught
        whole(arguments)
    finally:
        if arguments is not None:  # the command keeps its handlers until the interpreter exits
            put_back(before)


__all__ = ["main"]
