"""Start of the processes that decode images, and their end together with the run's process."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver, resource_tracker
from typing import Any

PREFETCH = 4  # batches that a worker prepares ahead


def process_options() -> dict[str, Any]:
    """Workers from a clean server process: they inherit no lock, thread or CUDA state."""
    context = multiprocessing.get_context("forkserver")
    preload = ["kdrun.data.folder_split", "torchvision.transforms.v2"]
    context.set_forkserver_preload(preload)
    return {
        "multiprocessing_context": context,
        "persistent_workers": True,
        "prefetch_factor": PREFETCH,
        "worker_init_fn": set_up_worker,
    }


def set_up_worker(worker: int) -> None:
    """Leave Ctrl-C, which reaches the whole process group, to the run; leave when the run does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        # The server that starts the jobs of a sweep blocks it, and workers come from it too.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    threading.Thread(target=leave_with_run, daemon=True).start()


def leave_with_run() -> None:
    """Wait for the end of the process that uses this one, and end too.

    A worker's parent is the fork server, which lives for as long as a worker does: without this,
    both would outlive a run that is killed.
    """
    run = multiprocessing.parent_process()
    if run is not None:
        run.join()
        os._exit(1)


def start_server() -> None:
    """Start the server so that it and all its workers never get a Ctrl-C.

    It would end them with a traceback each, as long as they have not set their signals.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return
    resource_tracker.ensure_running()  # first, as its start unblocks signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
