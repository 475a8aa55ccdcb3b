"""A batch as model input: normalised per model, with the same mixing for all models."""

from collections.abc import Hashable

from torch import Tensor

from kdrun.data.batch import Batch
from kdrun.data.mixing import Mixing
from kdrun.data.normalizer import Normalizer


class Views:
    """One batch as input for several models: own normalisation, common mixing."""

    def __init__(self, batch: Batch, mixing: Mixing | None) -> None:
        self.batch = batch
        self.mixing = mixing
        self.labels = batch.labels if mixing is None else mixing.labels(batch.labels)
        self._images: dict[Hashable, Tensor] = {}

    def images(self, normalizer: Normalizer) -> Tensor:
        """(N, C, H, W) floats; computed once for models with equal normalisation."""
        key = normalizer.key
        if key not in self._images:
            images = normalizer(self.batch.images)
            self._images[key] = images if self.mixing is None else self.mixing.images(images)
        return self._images[key]
