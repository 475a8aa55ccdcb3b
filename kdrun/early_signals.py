"""Stop signals where no work would be lost: the process leaves at once, resumably.

Imports next to nothing, since until these handlers are set a signal ends the process without a
word.
"""

import os
import signal

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)  # Windows has neither hang-ups nor user signals
)

STOPPED = 75
"""The exit code of `errors.Stopped`."""

_remedy = ["give the command again"]


def heard_signals() -> list[int]:
    """The signals that ask to stop; a hang-up does not where it is ignored, as under nohup."""
    hang_up = getattr(signal, "SIGHUP", None)
    ignored = hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN
    return [number for number in SIGNALS if number != hang_up or not ignored]


def set_early_handlers() -> dict[int, object]:
    """Let signals end the process at once while nothing else handles them; returns the former.

    Those that the process was started to ignore stay ignored.
    """
    numbers = [n for n in heard_signals() if signal.getsignal(n) is not signal.SIG_IGN]
    try:
        return {number: signal.signal(number, leave_at_once) for number in numbers}
    except ValueError:  # Python allows handlers in the main thread alone
        return {}


def put_back(handlers: dict[int, object], *numbers: int) -> None:
    """Set the handlers that `set_early_handlers` returned, all or those of the numbers."""
    for number in numbers or handlers:
        if number in handlers:
            signal.signal(number, handlers[number])  # type: ignore[arg-type]


def leave_at_once(number: int, frame: object) -> None:
    """Handle a signal: say so on one line and leave; without a word after Ctrl-C."""
    if number == signal.SIGINT:
        os._exit(128 + number)
    name = signal.Signals(number).name
    try:
        os.write(2, f"kdrun: stopped by {name}; {_remedy[0]}\n".encode())
    finally:  # whatever became of the terminal
        os._exit(STOPPED)


def resumable_by(remedy: str) -> None:
    """From now on, tell this to who stops the process between two pieces of work."""
    _remedy[0] = remedy
