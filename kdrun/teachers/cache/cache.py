"""Cache of the outputs of one teacher."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from kdrun.errors import DamagedError, OutputError
from kdrun.store.files import cannot_write, damaged, read_json, write_json
from kdrun.store.folders import make_folder, remove_leftovers
from kdrun.store.stages import stage_hash
from kdrun.teachers.cache.encoding import make_encoding
from kdrun.teachers.cache.page import Page, open_page
from kdrun.teachers.cache.page_files import FORMAT, Layout, PageFiles, Seal, read_seal
from kdrun.teachers.cache.quota import DESCRIPTION, CacheQuota
from kdrun.teachers.cache.writer import PageWriter

OTHERS_WRITE = 60.0
"""Seconds that another process may take to write the description of a key."""


class TeacherCache:
    """The outputs of one teacher for the views of one split, one page per view.

    Disk errors never stop training: a damaged page is reported, removed and computed again; if
    pages cannot be written, one line reports it.

    Args:
        room: folder and disk quota.
        key: everything that determines the outputs, as JSON: teacher, data, augmentation and its
            seed, precision, mixing.
        images: number of images in the split.
        rows: images per pass; a complete page has one row for each.
        classes: K.
        dtype: float16 or float32; only float32 is bit-exact.
        topk: classes stored per row; None for all.
        say: prints a line to the user.
    """

    def __init__(
        self,
        room: CacheQuota,
        key: Mapping[str, Any],
        *,
        images: int,
        rows: int,
        classes: int,
        dtype: str = "float16",
        topk: int | None = None,
        say: Callable[[str], None],
    ) -> None:
        encoding = make_encoding(classes, dtype, topk)
        self.description = {
            "format": FORMAT,
            "key": dict(key),
            "images": images,
            "rows": rows,
            "encoding": encoding.fields,
        }
        self.layout = Layout(stage_hash(self.description), images, rows, encoding)
        self.room = room
        self.folder = room.folder(self.layout.key)
        self.say = say
        self._writes = True
        self._verified: set[tuple[int, int, int, str]] = set()

    def as_stored(self, logits: Tensor) -> Tensor:
        """(N, K) logits after a round trip through the storage format, float32.

        Training always uses these, so that results do not depend on the pages found. Rows that
        cannot be stored are unchanged.
        """
        encoding = self.layout.encoding
        stored = encoding.decode(encoding.encode(logits))
        fits = stored.isfinite().all(1, keepdim=True)
        return torch.where(fits, stored, logits.float())

    def page(self, view: int) -> Page | None:
        """The view's page if complete; its bytes are verified on the first opening."""
        files = PageFiles(self.folder, view)
        if self._linked():
            return None
        try:
            seal = read_seal(files, self.layout)
            if seal is None or seal.rows < self.layout.rows:
                return None
            return self._opened(files, seal)
        except DamagedError as error:
            self._drop(files, error)
            return None

    def writer(self, view: int) -> PageWriter | None:
        """A writer for the view's page that continues after the saved rows.

        None if the page is complete, is being written by another process, or cannot be written.
        """
        if not self._writes:
            return None
        files = PageFiles(self.folder, view)
        try:
            return self._begin(files)
        except Timeout:
            return None
        except OSError as error:
            self._give_up(str(cannot_write(files.rows, error, self.layout.page_bytes)))
        except OutputError as error:
            self._give_up(str(error))
        return None

    def _opened(self, files: PageFiles, seal: Seal) -> Page:
        try:
            status = files.rows.stat()
        except OSError as error:
            raise damaged(files.rows, error) from error
        state = (status.st_ino, status.st_size, status.st_mtime_ns, seal.checksum)
        page = open_page(files, self.layout, seal, verify=state not in self._verified)
        self._verified.add(state)
        with suppress(OSError):  # a disk that can be read only
            os.utime(files.rows, ns=(time.time_ns(), status.st_mtime_ns))
        return page

    def _drop(self, files: PageFiles, error: DamagedError) -> None:
        try:
            with files.lock().acquire(timeout=0):
                files.remove()
        except Timeout:  # another process has removed it and is writing it again
            return
        except OSError:  # a disk that can be read only
            self.say(f"{error}; it is not used")
            return
        self.say(f"{error}; it was removed and is computed again")

    def _begin(self, files: PageFiles) -> PageWriter | None:
        there = files.rows.stat().st_size if files.rows.exists() else 0
        needed = self.layout.page_bytes - there
        if needed > 0 and not self.room.make(needed):
            self._give_up(
                f"the {self.layout.page_bytes:,} bytes of another page would exceed cache.max_gb="
                f"{self.room.max_bytes / 1e9:g} ({self.room.root})"
            )
            return None
        make_folder(files.folder, self.room.root.parent)
        self._describe()
        lock = files.lock()
        lock.acquire(timeout=0)
        writer = None
        try:
            writer = self._locked_writer(files, lock)
        finally:
            if writer is None:
                lock.release()
        return writer

    def _linked(self) -> bool:
        """Whether the path to the folder has a link below the output root; such are not read."""
        return self.room.root.is_symlink() or self.folder.is_symlink()

    def _describe(self) -> None:
        """Write the content of the key, unless it is there."""
        path = self.folder / DESCRIPTION
        with suppress(DamagedError):
            if stage_hash(read_json(path)) == self.layout.key:
                return
        remove_leftovers(self.folder, f".tmp-*-{DESCRIPTION}", age=OTHERS_WRITE)
        write_json(path, self.description)

    def _locked_writer(self, files: PageFiles, lock: FileLock) -> PageWriter | None:
        try:
            seal = read_seal(files, self.layout)
            if seal is not None and seal.rows >= self.layout.rows:
                return None
            return PageWriter(files, self.layout, lock, seal, self._give_up)
        except DamagedError as error:
            self.say(f"{error}; it is computed again")
            return PageWriter(files, self.layout, lock, None, self._give_up)

    def _give_up(self, reason: str) -> None:
        self._writes = False
        self.say(f"teacher outputs are no longer stored: {reason}")
