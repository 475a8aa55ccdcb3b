"""Entry point of `kdrun`: commands, exit codes, one line on stderr per error.

Torch is imported only by commands that compute.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence

from kdrun import __version__
from kdrun.cli.help import help_text
from kdrun.cli.several_processes import refuse_several_processes
from kdrun.cli.verbs import VERBS
from kdrun.errors import ConfigError, KdrunError, Stopped, first_line, near_miss
from kdrun.escaping import show, write_any_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `kdrun` with the arguments (default: the command line's) and exit with its code."""
    write_any_text()
    words = list(sys.argv[1:] if arguments is None else arguments)
    traceback_wanted = "--traceback" in words or os.environ.get("HYDRA_FULL_ERROR") == "1"
    words = [word for word in words if word != "--traceback"]
    sys.exit(guarded(lambda: dispatch(words), traceback_wanted))


def guarded(work: Callable[[], None], traceback_wanted: bool) -> int:
    """Do the work; report exceptions on stderr and return the exit code."""
    try:
        work()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        if interrupted(error) and not isinstance(error, Stopped):
            return 130
        if traceback_wanted:
            show(traceback.format_exc(), file=sys.stderr)
        if isinstance(error, KdrunError):
            complain(error)
            return error.code
        # A bug in kdrun: also one line, unless the traceback is requested.
        line = first_line(error)
        show(f"kdrun: internal error: {line} (--traceback shows where)", file=sys.stderr)
        return KdrunError.code
    return 0


def interrupted(error: Exception) -> bool:
    """Whether Ctrl-C caused the error, as when Hydra continues with a half-composed config."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, KeyboardInterrupt):
            return True
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    return False


def complain(error: KdrunError) -> None:
    """Print each error on one line on stderr."""
    for line in str(error).splitlines():
        show(f"kdrun: {line}", file=sys.stderr)


def dispatch(words: Sequence[str]) -> None:
    """Call the command named by the first word; `run` by default."""
    first = words[0] if words else ""
    if first == "--version":
        print(f"kdrun {__version__}")
    elif {"--help", "-h"} & set(words):
        print(help_text())
    elif first in VERBS:
        call(first, words[1:])
    elif first and first[0] not in "-+~" and "=" not in first:
        raise ConfigError(
            f"unknown command '{first}'{near_miss(first, VERBS)} (commands: {', '.join(VERBS)}; "
            "settings are written key=value)"
        )
    else:
        call("run", words)


def call(verb: str, words: Sequence[str]) -> None:
    """Call the command; the words of a run may not contain another command."""
    refuse_several_processes()
    if verb == "run":
        before = ["", *words]  # a word after an option, such as --config-dir, is its value
        late = [b for a, b in zip(before, words, strict=False) if b in VERBS and a[:1] != "-"]
        if late:
            raise ConfigError(f"'{late[0]}' is a command; put it first: kdrun {late[0]} ...")
    VERBS[verb](list(words))
