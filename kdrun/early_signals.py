"""Signal handlers for times without unsaved work: exit at once, resumably.

Imports next to nothing: until these handlers are set, a signal ends the process silently.
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

_remedy = ["run the command again"]


def heard_signals() -> list[int]:
    """Signals that request a stop; without SIGHUP where it is ignored, as under nohup."""
    hang_up = getattr(signal, "SIGHUP", None)
    ignored = hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN
    return [number for number in SIGNALS if number != hang_up or not ignored]


def set_early_handlers() -> dict[int, object]:
    """Let stop signals end the process at once; return the previous handlers.

    Signals that were ignored at the start of the process stay ignored.
    """
    numbers = [n for n in heard_signals() if signal.getsignal(n) is not signal.SIG_IGN]
    try:
        return {number: signal.signal(number, leave_at_once) for number in numbers}
    except ValueError:  # Python allows handlers only in the main thread
        return {}


def put_back(handlers: dict[int, object], *numbers: int) -> None:
    """Restore handlers returned by `set_early_handlers`, of all signals or of those given."""
    for number in numbers or handlers:
        if number in handlers:
            signal.signal(number, handlers[number])  # type: ignore[arg-type]


def leave_at_once(number: int, frame: object) -> None:
    """Handle a signal: print one line and exit; silently after Ctrl-C."""
    if number == signal.SIGINT:
        os._exit(128 + number)
    name = signal.Signals(number).name
    try:
        os.write(2, f"kdrun: stopped by {name}; {_remedy[0]}\n".encode())
    finally:  # even if the terminal is gone
        os._exit(STOPPED)


def resumable_by(remedy: str) -> None:
    """Set the remedy printed when a signal ends the process."""
    _remedy[0] = remedy
