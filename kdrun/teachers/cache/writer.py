"""Writing of a page of the cache during a pass over the images."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from kdrun.errors import OutputError
from kdrun.store.files import cannot_write
from kdrun.teachers.cache.encoding import total_variation
from kdrun.teachers.cache.page_files import (
    Distortion,
    Layout,
    PageFiles,
    Seal,
    read_records,
    row_of_image,
    write_seal,
)

# Bytes of rows buffered on their device before a flush; except on the CPU, a flush synchronises
# with the device.
FLUSH_BYTES = {"cpu": 2**22}
LARGE_FLUSH = 2**26


class Rows(NamedTuple):
    """Rows to be written: stored form and error of the storage format."""

    indices: Tensor
    deviation: Tensor
    tv: Tensor
    stored: tuple[Tensor, ...]


class PageWriter:
    """Appends rows to the page of one view, in any order; rows of known images are skipped.

    Disk errors never raise: the page is given up, and training continues.

    Args:
        files: files of the page.
        layout: of the page.
        lock: held, and released at the end.
        seal: of the rows to continue after; None starts a new page.
        give_up: called with the reason if the page cannot be written.

    Raises:
        DamagedError: the rows to continue after are damaged.
    """

    def __init__(
        self,
        files: PageFiles,
        layout: Layout,
        lock: FileLock,
        seal: Seal | None,
        give_up: Callable[[str], None],
    ) -> None:
        self.files = files
        self.layout = layout
        self.lock = lock
        self.give_up = give_up
        self._held = np.zeros(layout.images, dtype=bool)
        self._distortion = Distortion()
        self._hash = hashlib.sha256()
        self._pending: list[Rows] = []
        self._pending_bytes = 0
        files.remove_leftovers()
        if seal is None:
            # Never truncated: a reader may have the old file mapped.
            files.remove()
            self._file: BinaryIO = files.rows.open("xb")
        else:
            self._go_on(seal)
        self.writing = True

    def write(self, indices: Tensor, logits: Tensor) -> None:
        """Add the (N, K) logits of N images; they are buffered for some batches."""
        if not self.writing:
            return
        encoding, logits = self.layout.encoding, logits.detach()
        stored = encoding.encode(logits)
        deviation = encoding.deviation(stored, logits)
        tv = total_variation(encoding.decode(stored), logits)
        self._pending.append(Rows(indices, deviation, tv, stored))
        self._pending_bytes += sum(field.nbytes for field in stored)
        if self._pending_bytes >= FLUSH_BYTES.get(logits.device.type, LARGE_FLUSH):
            self._trying(self._flush)

    def save(self) -> None:
        """Flush and seal the rows so far: after a kill, the next writer continues from here.

        Call it with every checkpoint of the training.
        """
        if self.writing:
            self._trying(self._save)

    def close(self) -> None:
        """Save; with every row present, the page is complete and visible to readers."""
        self.save()
        if self.writing:
            self._end()

    def abandon(self, reason: str) -> None:
        """Remove the page and stop writing."""
        self._end(self.files.remove)
        self.give_up(reason)

    def _trying(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self.abandon(str(cannot_write(self.files.rows, error, self.layout.page_bytes)))
        except OutputError as error:
            self.abandon(str(error))

    def _end(self, last: Callable[[], None] = lambda: None) -> None:
        self.writing = False
        self._pending.clear()
        with suppress(OSError):  # buffered data may not fit on the disk either
            self._file.close()
        with suppress(OSError):  # the disk has become read-only
            last()
        self.lock.release()

    def _go_on(self, seal: Seal) -> None:
        records = read_records(self.files, self.layout, seal, verify=True)
        self._held = row_of_image(records, self.layout, self.files.rows) >= 0
        self._hash.update(records.view(np.uint8).data)
        self._distortion = seal.distortion
        self._file = self.files.rows.open("r+b")
        self._file.seek(records.nbytes)

    def _save(self) -> None:
        self._flush()
        rows = int(self._held.sum())
        if rows == 0:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        seal = Seal(rows, self._hash.hexdigest(), self._distortion)
        write_seal(self.files, self.layout, seal)

    def _flush(self) -> None:
        if not self._pending:
            return
        *measured, stored = zip(*self._pending, strict=True)
        self._pending, self._pending_bytes = [], 0
        indices, deviation, tv = (on_host(tensors) for tensors in measured)
        chosen = self._unheld(indices)
        if not np.isfinite(deviation[chosen] + tv[chosen]).all():
            raise OutputError(unstorable(deviation[chosen]))
        records = np.zeros(len(chosen), self.layout.record)
        records["index"] = indices[chosen]
        columns = zip(*stored, strict=True)
        for (name, *_), tensors in zip(self.layout.encoding.fields, columns, strict=True):
            records[name] = on_host(tensors)[chosen]
        content = records.view(np.uint8).data
        self._file.write(content)
        self._hash.update(content)
        self._distortion = self._extended(deviation[chosen], tv[chosen])
        self._held[indices[chosen]] = True

    def _unheld(self, indices: np.ndarray) -> np.ndarray:
        """Positions, in order, of the images without a row."""
        places = np.sort(np.unique(indices, return_index=True)[1])
        return places[~self._held[indices[places]]]

    def _extended(self, deviation: np.ndarray, tv: np.ndarray) -> Distortion:
        old, held = self._distortion, int(self._held.sum())
        return Distortion(
            deviation=max(old.deviation, float(deviation.max(initial=0))),
            max_tv=max(old.max_tv, float(tv.max(initial=0))),
            mean_tv=(old.mean_tv * held + float(tv.sum(dtype=np.float64))) / max(1, held + len(tv)),
        )


def on_host(tensors: tuple[Tensor, ...]) -> np.ndarray:
    """Concatenate the tensors on the host."""
    return torch.cat(tensors).cpu().numpy()


def unstorable(deviation: np.ndarray) -> str:
    """The reason why rows of unbounded deviation cannot be stored."""
    if np.isinf(deviation).any():
        return "logits above 65504 do not fit cache.dtype=float16; use float32"
    return "logits that are not finite"
