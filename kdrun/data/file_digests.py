"""Digests of image files: computed by threads, once per file, and stored in an index."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np

from kdrun.data.digest_index import DigestIndex
from kdrun.data.hashing_progress import Progress, Say
from kdrun.data.orientation import ImageDigest
from kdrun.data.regular_files import CHUNK, Stamp, open_regular, stamp
from kdrun.data.source import Files
from kdrun.errors import DataError, Stopped, some_of
from kdrun.signals import Stop

GROUP = 32  # files per task of a thread
SAVE_EVERY = 5.0  # seconds between saves of the index
LOOK = 10.0  # seconds to search for more unreadable files after the first one
SETTLED = 2_000_000_000  # nanoseconds; the coarsest timestamp resolution of common file systems


@dataclass
class Halt:
    """Reasons to stop hashing: a stop request, an unreadable file, or an internal error.

    Attributes:
        read: bytes so far, including unfinished files; approximate, as threads race.
    """

    stop: Stop | None
    read: int = 0
    deadline: float = float("inf")
    now: bool = False
    faults: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.now or bool(self.stop) or time.monotonic() > self.deadline

    def fault(self, line: str) -> None:
        """Record an unreadable file; the search for others goes on for a moment."""
        self.faults.append(line)
        self.deadline = min(self.deadline, time.monotonic() + LOOK)


@dataclass(frozen=True)
class Hashed:
    """Digests and stamps of a group of files, and the error line of an unreadable one."""

    first: int
    stamps: list[Stamp]
    digests: list[bytes]
    fault: str | None = None


def with_digests(
    parts: Sequence[Files], stop: Stop | None, say: Say, folder: Path | None = None
) -> list[Files]:
    """Add to each part the digest of every file and its stamp at the time of hashing.

    Args:
        parts: of one root.
        stop: polled while files are read.
        say: prints lines of progress.
        folder: of the indices; by default the user's cache folder.

    Raises:
        DataError: files cannot be read, or change while they are read; names them.
        Stopped: `stop` was set; the digests so far are in the index.
    """
    paths = np.concatenate([part.paths for part in parts])
    stamps = np.concatenate([part.stamps for part in parts])
    digests = np.zeros((len(paths), 32), np.uint8)
    index = DigestIndex(parts[0].root, folder)
    trouble = index.load()
    places, known = index.find(paths, stamps)
    digests[places] = known
    unknown = np.delete(np.arange(len(paths)), places)
    if len(unknown):
        work = Work(parts[0].root, paths, stamps, digests, unknown, index)
        trouble = work.do(Halt(stop), say) or trouble
    if trouble:
        say(
            f"cannot keep the digests of the images in {index.path} ({trouble}); they are read "
            "again by the next run; set KDRUN_CACHE to a folder that can be written"
        )
    ends = np.cumsum([len(part.paths) for part in parts])[:-1]
    divided = zip(parts, np.split(stamps, ends), np.split(digests, ends), strict=True)
    return [replace(part, stamps=own, digests=these) for part, own, these in divided]


@dataclass
class Work:
    """The files to hash: their positions among all, and the output tables."""

    root: str
    paths: np.ndarray
    stamps: np.ndarray
    digests: np.ndarray
    places: np.ndarray
    index: DigestIndex
    done: list[int] = field(default_factory=list)
    saved: float = field(default_factory=time.monotonic)
    trouble: str | None = None

    def do(self, halt: Halt, say: Say) -> str | None:
        """Hash all files; return the reason if the index cannot be written, else None."""
        progress = Progress(say, len(self.places), int(self.stamps[self.places, 0].sum()))
        began = time.time_ns()
        try:
            for group in self._groups(halt):
                if group is not None:
                    self._take(group, began)
                    progress.images += len(group.digests)
                    if group.fault:
                        halt.fault(group.fault)
                progress.tell(halt.read)
        finally:
            self._save()
        if halt.stop:
            raise Stopped("stopped while hashing the images; the next run continues from there")
        if halt.faults:
            raise DataError(unreadable_line(sorted(halt.faults)))
        progress.end()
        return self.trouble

    def _groups(self, halt: Halt) -> Iterator[Hashed | None]:
        """Groups as they finish; None after every second without one."""
        done: SimpleQueue[Future[Hashed]] = SimpleQueue()
        firsts = range(0, len(self.places), GROUP)
        with ThreadPoolExecutor(thread_count(), "hash") as pool:
            try:
                for first in firsts:
                    group = pool.submit(hash_group, self._names(first), first, halt)
                    group.add_done_callback(done.put)
                for _ in firsts:
                    while (ready := next_of(done)) is None:
                        yield None
                    yield ready.result()
            except BaseException:
                halt.now = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _names(self, first: int) -> list[str]:
        names = self.paths[self.places[first : first + GROUP]].tolist()
        return [os.path.join(self.root, os.fsdecode(name)) for name in names]

    def _of(self, group: Hashed) -> np.ndarray:
        """The positions of the files hashed by the group."""
        return self.places[group.first : group.first + len(group.digests)]

    def _take(self, group: Hashed, began: int) -> None:
        places = self._of(group)
        for place, own, digest in zip(places.tolist(), group.stamps, group.digests, strict=True):
            self.stamps[place] = own
            self.digests[place] = np.frombuffer(digest, np.uint8)
            # A file written a moment ago may be written again with the same timestamps.
            if max(own[1], own[2]) + SETTLED < began:
                self.done.append(place)
        if time.monotonic() > self.saved + SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        if self.done:
            done = np.array(self.done)
            failure = self.index.append(self.paths[done], self.stamps[done], self.digests[done])
            self.trouble = failure or self.trouble
        self.done, self.saved = [], time.monotonic()


def next_of(done: "SimpleQueue[Future[Hashed]]") -> "Future[Hashed] | None":
    """The next finished group, or None after a second."""
    try:
        return done.get(timeout=1)
    except Empty:
        return None


def thread_count() -> int:
    """Number of hashing threads; more than cores, as they also wait for the disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(16, 2 + 2 * (cores or 1))


def hash_group(paths: Sequence[str], first: int, halt: Halt) -> Hashed:
    """Hash files in order, until one cannot be read or a stop is requested."""
    found = Hashed(first, [], [])
    for path in paths:
        if halt:
            break
        try:
            hashed = hash_file(path, halt)
        except DataError as error:
            return replace(found, fault=str(error))
        if hashed is None:
            break
        found.stamps.append(hashed[0])
        found.digests.append(hashed[1])
    return found


def hash_file(path: str, halt: Halt) -> tuple[Stamp, bytes] | None:
    """Stamp and digest of a file, or None if a stop is requested.

    Raises:
        DataError: the file cannot be read, or changed meanwhile; names it.
    """
    digest = ImageDigest()
    try:
        with open_regular(path) as file:
            before = stamp(os.fstat(file.fileno()))
            while not halt and (content := file.read(CHUNK)):
                digest.update(content)
                halt.read += len(content)
            found = b"" if halt else digest.finish(file)
            after = stamp(os.fstat(file.fileno()))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; make it readable or remove it") from error
    if not found:
        return None
    if before != after:
        raise DataError(f"{path}: changed while it was read; start again when it is complete")
    return after, found


def unreadable_line(faults: Sequence[str]) -> str:
    """One line for all unreadable files: the first error and the names of the others."""
    others = [fault.partition(": ")[0] for fault in faults[1:]]
    return faults[0] + (f" ({len(others)} more: {some_of(others)})" if others else "")
