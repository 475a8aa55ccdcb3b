"""What jobs of the tests do, in processes that import them from here."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdrun.runs.sweep import sweep
from kdrun.signals import stop_requests

BOARD, MOMENT = "KDRUN_TEST_BOARD", "KDRUN_TEST_MOMENT"
"""Environment variables that tell a sweep's child where it counts and when it dies."""


def armed_job(folder: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """A job of a sweep that dies where the crash matrix says."""
    from tests.faults.points import Board, Moment, arm, watch_phases
    from tests.faults.process import with_dropout

    board = Board(Path(os.environ[BOARD]))
    with_dropout()
    watch_phases(board)
    arm(board, Moment(*json.loads(os.environ[MOMENT])))
    sweep.guarded_job(folder, work, arguments)


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
