"""Frozen teachers: folded, in eval mode, without gradient."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.data.normalizer import Normalizer
from kdrun.device import matrix_dtype
from kdrun.features.extractor import FeatureExtractor, Features
from kdrun.models.batchnorm_folding import fold_batchnorm
from kdrun.models.heads import PENULTIMATE
from kdrun.models.operator_fusion import fuse
from kdrun.teachers.recent import LastResults, ResultsInUse


class IncompatibleStudents(Exception):
    """Raised for students that cannot share one forward pass of their teacher."""


class Teacher:
    """A frozen model. No nn.Module, so that no `.train()` or optimizer reaches it.

    Args:
        name: for messages.
        digest: hash of its stage.
        model: on its device; a folded copy is used for inference.
        normalizer: the normalisation of its training.
        autocast: compute precision.
        example: a batch of images for folding and checking the copy.
        kept: number of passes whose outputs are cached for students trained in turns.

    Attributes:
        pages: stored outputs in use, one copy for all students.
    """

    def __init__(
        self,
        name: str,
        digest: str,
        model: nn.Module,
        normalizer: Normalizer,
        autocast: Callable[[], AbstractContextManager[object]],
        example: Tensor,
        kept: int = 0,
    ) -> None:
        self.name = name
        self.digest = digest
        self.model = model.eval().requires_grad_(False)
        self.normalizer = normalizer
        self.autocast = autocast
        self.example = normalizer(example)
        self.observed: Callable[[Tensor], Features] = FeatureExtractor(self.model)
        self.structure: tuple[str, ...] | None = None
        self.hidden: list[str] = []
        self.attention: list[str] = []
        self.recent: LastResults[Features] = LastResults(kept)
        self.pages: ResultsInUse[Any] = ResultsInUse()

    def watch(self, hidden: Sequence[str] = (), attention: Sequence[str] = ()) -> None:
        """Fold the model except for the named layers, and capture their outputs from now on.

        With several students, the layers of all of them are captured.

        Raises:
            IncompatibleStudents: an earlier student needs another folding, with outputs that
                differ in the last bits.
        """
        kept = [path for path in hidden if path != PENULTIMATE]
        folded = fold_batchnorm(self.model, self.example, keep=kept)
        folded = folded.eval().requires_grad_(False)
        unfolded = [n for n, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
        structure = (*unfolded, *self.fused(folded, hidden, attention)[1])
        if self.structure not in (None, structure):
            raise IncompatibleStudents(
                f"the layers named for {self.name} need a separate forward pass"
            )
        self.structure = structure
        self.hidden = list(dict.fromkeys([*self.hidden, *hidden]))
        self.attention = list(dict.fromkeys([*self.attention, *attention]))
        self.observed = self.fused(folded, self.hidden, self.attention)[0]

    def fused(
        self, folded: nn.Module, hidden: Sequence[str], attention: Sequence[str]
    ) -> tuple[Callable[[Tensor], Features], list[str]]:
        """The callable for the folded model, and its fused operations (on a CPU)."""
        device = self.example.device.type
        with self.autocast():
            dtype = matrix_dtype(device)
        fusable = device == "cpu" and not attention
        found = fuse(folded, self.example, hidden, dtype) if fusable else None
        if found is None:
            lower_weights(folded, dtype)
            return FeatureExtractor(folded, hidden=hidden, attention=attention), []
        graph, texts = found

        def observed(images: Tensor) -> Features:
            logits, *values = graph(images)
            return Features(logits, dict(zip(hidden, values, strict=True)), {})

        return observed, texts

    def outputs(self, images: Tensor) -> Features:
        """Outputs for normalised (N, C, H, W) images."""
        return self.recent.get(images, lambda: self._outputs(images))

    def _outputs(self, images: Tensor) -> Features:
        with torch.inference_mode(), self.autocast():
            seen = self.observed(images)
        # Tensors made in inference mode cannot take part in autograd; copies can.
        return Features(
            seen.logits.to(torch.float32, copy=True),
            {path: tensor.clone() for path, tensor in seen.hidden.items()},
            {path: tensor.clone() for path, tensor in seen.attention.items()},
        )


def lower_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Cast weights once to the autocast type, instead of for every batch."""
    for module in model.modules():
        # Other modules, such as subclasses, may use their weights outside of autocast.
        if type(module) in (nn.Conv2d, nn.Linear):
            module.to(dtype)
