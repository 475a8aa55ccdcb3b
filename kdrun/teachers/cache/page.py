"""Reading a complete page of the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kdrun.errors import OutputError
from kdrun.teachers.cache.encoding import TORCH_TYPE, Encoding
from kdrun.teachers.cache.page_files import (
    Distortion,
    Layout,
    PageFiles,
    Seal,
    read_records,
    row_of_image,
)


@dataclass(frozen=True, eq=False)
class Page:
    """A teacher's outputs for one view of the images, mapped from the disk or held in memory.

    Attributes:
        path: of the records.
        encoding: of a row.
        positions: (images,) int64, the row of each image, -1 where it has none.
        stored: what the rows hold, by field.
        whole: whether every image has a row.
        distortion: what storing changed.
    """

    path: Path
    encoding: Encoding
    positions: Tensor
    stored: Sequence[Tensor]
    whole: bool
    distortion: Distortion

    def to(self, device: torch.device) -> "Page":
        """A copy in the device's memory: with indices there too, nothing waits for the host."""
        positions, *stored = (t.to(device, copy=True) for t in (self.positions, *self.stored))
        return Page(self.path, self.encoding, positions, stored, self.whole, self.distortion)

    def rows(self, indices: Tensor) -> Tensor | None:
        """(N, K) float32 logits of N images, on the indices' device.

        None where one of them has no row: a pass leaves out a single left-over image.
        """
        stored = self._gather(indices)
        return None if stored is None else self.encoding.decode(stored)

    def check(self, indices: Tensor, logits: Tensor, noise: float = 1e-4) -> float:
        """Compare with (N, K) logits computed again; returns the largest deviation.

        Args:
            indices: (N,) images that have a row.
            logits: what the teacher says of the same view of them now.
            noise: what computing again in other batches may change: of a logit relative to the
                row's largest, of a probability as it is. 0.02 suits bf16.

        Raises:
            OutputError: they differ by more than rounding to the stored type and the noise.
        """
        stored = self._gather(indices)
        assert stored is not None
        deviation = self.encoding.deviation(stored, logits)
        excess = deviation / self.encoding.scale(logits)
        worst = int(excess.argmax())  # of nan too
        found, relative = float(deviation[worst]), float(excess[worst])
        allowed = torch.finfo(TORCH_TYPE[self.encoding.dtype]).eps + noise
        if not relative <= allowed:
            raise OutputError(
                f"the stored outputs in {self.path} are not what the teacher says now: of image "
                f"{int(indices[worst])} they differ by {found:.3g}, relatively {relative:.3g}, "
                f"where {self.encoding.dtype} allows {allowed:.3g}; remove {self.path.parent}"
            )
        return found

    def _gather(self, indices: Tensor) -> list[Tensor] | None:
        positions = self.positions[indices.to(self.positions.device)]
        if not self.whole and bool((positions < 0).any()):
            return None
        rows = (field.index_select(0, positions) for field in self.stored)
        return [field.to(indices.device, non_blocking=True) for field in rows]


def open_page(files: PageFiles, layout: Layout, seal: Seal, *, verify: bool) -> Page:
    """The page of a seal that has all rows.

    Raises:
        DamagedError: it is not as it was written.
    """
    records = read_records(files, layout, seal, verify=verify)
    return Page(
        path=files.rows,
        encoding=layout.encoding,
        positions=torch.from_numpy(row_of_image(records, layout, files.rows)),
        stored=[torch.from_numpy(records[name]) for name, *_ in layout.encoding.fields],
        whole=layout.rows == layout.images,
        distortion=seal.distortion,
    )
