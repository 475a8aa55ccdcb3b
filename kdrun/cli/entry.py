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
from kdrun.cli.verbs import OTHER_VERBS, VERBS
from kdrun.config.flags import Words, allow_flags, split_words
from kdrun.errors import ConfigError, KdrunError, OutputError, Stopped, first_line, near_miss
from kdrun.escaping import show, write_any_text
from kdrun.loggers.streams import lost_output


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
        if lost := lost_output():
            raise OutputError(f"stdout cannot be written ({lost.strerror}); redirect it elsewhere")
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


def dispatch(given: Sequence[str]) -> None:
    """Call the command that the words name, in whatever order; `run` by default."""
    words = split_words(given)
    first = words.rest[0] if words.rest else ""
    if "--version" in words.flags:
        print(f"kdrun {__version__}")
    elif "--help" in words.flags or first == "help":
        print(help_text())
    elif first in VERBS:
        call(first, Words(words.flags, words.rest[1:]))
    elif first and "=" not in first and first[0] not in "+~":
        raise ConfigError(unknown_command(words.rest))
    else:
        call("run", words)


def unknown_command(words: Sequence[str]) -> str:
    """Return the error for a first word that is neither a command nor a setting."""
    from kdrun.config.unreadable import known_names, not_a_setting  # imports Hydra

    first = words[0]
    named = first.partition(":")[0] in known_names()
    spaced = len(words) > 1 and words[1][:1] == "="
    other = OTHER_VERBS.get(first.casefold())
    meant = named and (other is None or len(words) > 1)
    if meant or spaced or not first.strip() or os.path.isdir(first):
        return not_a_setting(words, 0)
    hint = f"; did you mean '{other}'?" if other else near_miss(first, VERBS)
    listed = f"(commands: {', '.join(VERBS)}; settings are written key=value)"
    return f"unknown command '{first}'{hint} {listed}"


def call(verb: str, words: Words) -> None:
    """Check the words and call the command."""
    refuse_several_processes()
    if verb == "run":
        late = [word for word in words.rest if word in VERBS]
        if late:
            raise ConfigError(f"'{late[0]}' is a command; put it first: kdrun {late[0]} ...")
    allow_flags(words, verb, VERBS[verb].flags)
    VERBS[verb](words.as_arguments())
