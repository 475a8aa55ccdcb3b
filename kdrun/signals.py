"""Stop requests by signal: the first requests a stop, the second ends the process."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from kdrun.early_signals import heard_signals


@contextmanager
def importing() -> Iterator[None]:
    """Let Ctrl-C end the process at once while the block imports modules.

    Some modules that torch imports swallow a KeyboardInterrupt: the program would continue, or
    fail later with an unrelated error.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


class Stop(Protocol):
    """A stop request; true once the work should stop."""

    def __bool__(self) -> bool: ...

    @property
    def asked(self) -> bool:
        """Whether a stop was requested, even in the middle of a round of turns."""
        ...


class StopRequest:
    """A stop request set by the first signal; the training loop checks it after every update."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def asked(self) -> bool:
        """Whether a stop was requested."""
        return bool(self)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: record the first, exit with 128+n on the second."""
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 into a stop request inside the block."""
    request = StopRequest()
    main_thread = threading.current_thread() is threading.main_thread()
    handled = heard_signals() if main_thread else []  # Python allows handlers in no other thread
    previous = {number: signal.signal(number, request.receive) for number in handled}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
