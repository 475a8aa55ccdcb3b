"""Start of image-decoding processes, and their end together with the run's process."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver, resource_tracker
from typing import Any

PREFETCH = 4  # batches prefetched by a worker


def process_options() -> dict[str, Any]:
    """DataLoader options for a fork server: workers inherit no lock, thread or CUDA state."""
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
    """Ignore Ctrl-C (sent to the whole process group), and exit together with the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        # The fork server of a sweep's jobs blocks SIGTERM, and workers come from it too.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    threading.Thread(target=leave_with_run, daemon=True).start()


def leave_with_run() -> None:
    """Wait for the end of the run's process, then exit.

    A worker's parent is the fork server, and the server lives as long as its workers: without
    this, both would outlive a killed run.
    """
    run = multiprocessing.parent_process()
    if run is not None:
        run.join()
        os._exit(1)


def start_server() -> None:
    """Start the fork server with Ctrl-C blocked, for itself and all its workers.

    Ctrl-C would end each with a traceback until it has set its own signal handlers.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return
    resource_tracker.ensure_running()  # first: its start unblocks signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
