"""Standard streams that outlive their reader: work continues without a console."""

import errno
import io
import os
import sys
from contextlib import suppress

READER_GONE = (errno.EPIPE, errno.EIO)
"""Errors of a pipe whose reader has left, and of a terminal that was closed."""


class LastingOutput(io.FileIO):
    """Output to a descriptor, discarded from its first error on.

    Attributes:
        error: the first error; None as long as all was written.
    """

    error: OSError | None = None

    def write(self, content: object) -> int:  # type: ignore[override]
        """Write the content, or discard it and note the error."""
        view = memoryview(content)  # type: ignore[arg-type]
        try:
            return super().write(view) or 0
        except BlockingIOError:
            raise
        except OSError as error:
            self.error = error
            discard(self.fileno())
            return view.nbytes


def discard(descriptor: int) -> None:
    """Redirect a descriptor to the null device, for all code of this process."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def open_closed_descriptors() -> None:
    """Open the null device in place of closed standard streams.

    Otherwise the next file that is opened, such as a checkpoint, takes the place of stdout.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number; processes that are started have it too.
            os.set_inheritable(os.open(os.devnull, mode), True)
    if sys.stdout is None:
        sys.stdout = lasting(1)
    if sys.stderr is None:
        sys.stderr = lasting(2)


def lasting(descriptor: int, like: io.TextIOWrapper | None = None) -> io.TextIOWrapper:
    """Return a text stream of a descriptor that outlives its reader, encoded like another."""
    raw = LastingOutput(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if like is None else like.encoding,
        errors="replace" if like is None else like.errors,
        line_buffering=like is None or like.line_buffering,
        write_through=like is not None and like.write_through,
    )


def outlive_readers() -> None:
    """Let stdout and stderr of this process outlive their readers."""
    open_closed_descriptors()
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(_raw(stream), LastingOutput):
            with suppress(OSError, ValueError):  # not a stream of the process
                if stream.fileno() == number:
                    stream.flush()
                    setattr(sys, name, lasting(number, stream))


def output_error() -> OSError | None:
    """Return the first error of stdout; None as long as all was written."""
    raw = _raw(sys.stdout) if isinstance(sys.stdout, io.TextIOWrapper) else None
    return raw.error if isinstance(raw, LastingOutput) else None


def lost_output() -> OSError | None:
    """Return the error for which stdout lost text, as of a full disk; None if a reader left."""
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(_raw(sys.stdout), LastingOutput):
        sys.stdout.flush()
    error = output_error()
    return None if error is None or error.errno in READER_GONE else error


def _raw(stream: io.TextIOWrapper) -> object:
    return getattr(stream.buffer, "raw", None)
