"""Reading of complete pages of the cache."""

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
    """A teacher's outputs for one view of the images, memory-mapped or in memory.

    Attributes:
        path: of the records.
        encoding: of a row.
        positions: (images,) int64, the row of each image, or -1.
        stored: content of the rows, by field.
        whole: whether every image has a row.
        distortion: error of the storage format.
    """

    path: Path
    encoding: Encoding
    positions: Tensor
    stored: Sequence[Tensor]
    whole: bool
    distortion: Distortion

    def to(self, device: torch.device) -> "Page":
        """A copy in the device's memory; lookups by indices on the device do not synchronise."""
        positions, *stored = (t.to(device, copy=True) for t in (self.positions, *self.stored))
        return Page(self.path, self.encoding, positions, stored, self.whole, self.distortion)

    def rows(self, indices: Tensor) -> Tensor | None:
        """(N, K) float32 logits of N images, on the device of the indices.

        None if one of them has no row: a pass drops a last batch of one image.
        """
        stored = self._gather(indices)
        return None if stored is None else self.encoding.decode(stored)

    def check(self, indices: Tensor, logits: Tensor, noise: float = 1e-4) -> float:
        """Compare with recomputed (N, K) logits; return the largest deviation.

        Args:
            indices: (N,) images with a row.
            logits: current teacher logits of the same view.
            noise: tolerance for recomputation in other batches: for a logit relative to the row's
                largest, for a probability absolute. 0.02 suits bf16.

        Raises:
            OutputError: a difference larger than the rounding of the stored type plus the noise.
        """
        stored = self._gather(indices)
        assert stored is not None
        deviation = self.encoding.deviation(stored, logits)
        excess = deviation / self.encoding.scale(logits)
        worst = int(excess.argmax())  # also for nan
        found, relative = float(deviation[worst]), float(excess[worst])
        allowed = torch.finfo(TORCH_TYPE[self.encoding.dtype]).eps + noise
        if not relative <= allowed:
            raise OutputError(
                f"the stored outputs in {self.path} differ from the teacher's current outputs: by "
                f"{found:.3g} (relative: {relative:.3g}) for image {int(indices[worst])}, where "
                f"{self.encoding.dtype} allows {allowed:.3g}; remove {self.path.parent}"
            )
        return found

    def _gather(self, indices: Tensor) -> list[Tensor] | None:
        positions = self.positions[indices.to(self.positions.device)]
        if not self.whole and bool((positions < 0).any()):
            return None
        rows = (field.index_select(0, positions) for field in self.stored)
        return [field.to(indices.device, non_blocking=True) for field in rows]


def open_page(files: PageFiles, layout: Layout, seal: Seal, *, verify: bool) -> Page:
    """Open a page by the seal of all its rows.

    Raises:
        DamagedError: the page is damaged.
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
