"""Causes of failed image-decoding processes, by signal, exit code and error number."""

import errno
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader

from kdrun.errors import DataError, first_line

# Messages of torch for a dead worker; reading from it before torch notices fails in other ways.
LOST = ("DataLoader worker", "Pin memory thread", "ancillary data", "shared memory")

FEWER = "set train.workers lower (0: no workers)"
NO_MEMORY = f"memory ran out; {FEWER}, or train.batch_size lower"
NO_SHARED_MEMORY = f"/dev/shm is full; enlarge it (docker run --shm-size=8g), or {FEWER}"
NO_FILES = f"too many files are open; raise the limit (ulimit -n), or {FEWER}"

SHORTAGES = {
    errno.ENOSPC: NO_SHARED_MEMORY,
    errno.ENOMEM: NO_MEMORY,
    errno.EMFILE: NO_FILES,
    errno.ENFILE: NO_FILES,
    errno.EAGAIN: f"no more processes are allowed; raise the limit (ulimit -u), or {FEWER}",
}
"""Shortages of the machine by error number, with the way out."""

BY_SIGNAL = {
    "SIGKILL": f"killed by the kernel or another program, most likely because {NO_MEMORY}",
    "SIGBUS": f"bus error, most likely because {NO_SHARED_MEMORY}",
    "SIGSEGV": f"crashed in a library, perhaps on a damaged image; {FEWER}: a crash then names it",
    "SIGTERM": "ended by another program; start again with 'kdrun resume'",
}


def named_failures(loader: DataLoader) -> Iterator[Any]:
    """Iterate over the loader; a worker that fails or dies becomes a DataError with the cause."""
    workers: Sequence[Any] = ()
    try:
        passing = iter(loader)
        workers = getattr(passing, "_workers", ())
        yield from passing
    except (RuntimeError, EOFError, OSError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in LOST):
            raise
        for worker in workers:
            worker.join(0.1)  # its exit code may arrive after torch's error
        raise DataError(failed(error, [worker.exitcode for worker in workers])) from error


def failed(error: Exception, codes: Sequence[int | None] = ()) -> str:
    """The line on a failed worker, with the likely cause.

    Args:
        codes: exit codes of the workers, None while they live.
    """
    return f"an image-decoding worker process failed: {cause(error, codes)}"


def cause(error: Exception, codes: Sequence[int | None]) -> str:
    """The likely cause of a worker's failure, with the way out."""
    shortage = SHORTAGES.get(error_number(error))
    if shortage is not None:
        return shortage
    ended = [code for code in codes if code]
    return by_exit_code(ended[0]) if ended else f"{first_line(error)}; {FEWER}"


def by_exit_code(code: int) -> str:
    """The cause of a process's end by its exit code, negative for a signal."""
    if code > 0:
        return f"it exited with code {code}, its messages are above; {FEWER}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return BY_SIGNAL.get(name, f"it ended by {name}; {FEWER}")


def error_number(error: BaseException) -> int:
    """The error number of the system, 0 if none; torch has it at the end of its message only."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\((\d+)\)$", str(error).strip())
    return int(found[1]) if found else 0
