"""Job in a separate process, isolated from other jobs' failures."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from kdrun.early_signals import SIGNALS, heard_signals, leave_at_once
from kdrun.errors import Stopped
from kdrun.escaping import write_any_text
from kdrun.loggers.streams import outlive_readers


class Child:
    """Outcome of `run_in_child`, and forwarding of signals to the process.

    Attributes:
        code: exit code, or minus the number of the signal that killed the process.
        signal: last signal received and forwarded meanwhile; None if none.
    """

    def __init__(self) -> None:
        self.code = 0
        self.signal: int | None = None
        self._process: BaseProcess | None = None
        self._waiting: list[int] = []

    def pass_on(self, number: int, frame: FrameType | None = None) -> None:
        """Forward a signal to the process, or keep the signal until the process handles signals."""
        self.signal = number
        if self._process is None:
            self._waiting.append(number)
        elif self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def pass_on_to(self, process: BaseProcess) -> None:
        """Send kept signals to the process, which handles signals from now on."""
        self._process = process
        for number in self._waiting:
            self.pass_on(number)


def run_in_child(target: Callable[..., None], arguments: Sequence[Any]) -> Child:
    """Call the target in a new process and wait for the end; signals are forwarded.

    The process is forked from a server that has imported torch once, without any computation. The
    process is detached from the terminal, so that Ctrl-C arrives once, through this process. When
    this process dies, the child gets a stop signal.
    """
    methods = multiprocessing.get_all_start_methods()
    if multiprocessing.get_start_method(allow_none=True) not in (None, *methods):
        # A worker of joblib has a default of its own, which a child could not set.
        multiprocessing.set_start_method(None, force=True)
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["kdrun.runs.runner"])
    child = Child()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(sender, target, tuple(arguments)))
    main_thread = threading.current_thread() is threading.main_thread()
    previous: dict[int, Any] = {}
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # first, because its start unblocks signals
    try:
        # Ctrl-C goes to the whole group, and the server must survive.
        with _blocked():
            if main_thread:
                heard = heard_signals()
                previous = {number: signal.signal(number, child.pass_on) for number in heard}
            process.start()
        sender.close()
        # A signal before the child handles signals would be lost. Other threads of this process
        # may receive one even while this thread blocks signals.
        wait([receiver, process.sentinel])
        receiver.close()
        child.pass_on_to(process)
        process.join()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    child.code = process.exitcode or 0
    if child.signal is not None:
        asked = previous[child.signal]
        if callable(asked) and asked not in (signal.default_int_handler, leave_at_once):
            asked(child.signal, None)  # for a launcher, which may requeue the job
    return child


@contextmanager
def _blocked() -> Iterator[None]:
    """Block signals; processes started meanwhile never get them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _main(ready: Connection, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    if hasattr(os, "setsid"):
        os.setsid()
        for number in heard_signals():
            signal.signal(number, _leave)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    ready.close()
    outlive_readers()
    write_any_text()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    target(*arguments)


def _leave(number: int, frame: FrameType | None) -> None:
    """Exit on a signal before the work handles signals itself; nothing is lost."""
    os._exit(Stopped.code)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
