"""What jobs of the tests do, in processes that import them from here."""

import os
import signal
import time
from pathlib import Path

from kdrun.signals import stop_requests


def leave(code: int) -> None:
    """Leave without a word, as a library that calls exit."""
    os._exit(code)


def kill() -> None:
    """End as the kernel ends a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(reason: str) -> None:
    """Raise what nobody expects."""
    raise ZeroDivisionError(reason)


def stop_when_told(folder: Path) -> None:
    """Say that it works, and when told to stop that it has stopped."""
    with stop_requests() as stop:
        (folder / "working").touch()
        while not stop:
            time.sleep(0.01)
        time.sleep(0.2)
        (folder / "stopped").touch()


def stop_never(folder: Path) -> None:
    """Be told to stop, and work on."""
    with stop_requests():
        (folder / "working").touch()
        time.sleep(60)


def look_for_no_signal() -> None:
    """Work as what has not come to look for signals yet."""
    time.sleep(60)
