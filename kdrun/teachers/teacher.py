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
    """Students that cannot share one pass of their teacher."""


class Teacher:
    """A frozen model. Not an nn.Module, so that no `.train()` or optimizer reaches it.

    Args:
        name: for messages.
        digest: hash of the stage that made it.
        model: on its device; what works is a folded copy of it.
        normalizer: the normalisation it was trained with.
        autocast: the precision it computes in.
        example: a batch of images to fold and check the copy on.
        kept: passes whose outputs are kept, for students that ask for the same ones in turns.

    Attributes:
        pages: stored outputs that students train on now, one copy for all.
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
        """Fold the model, all but the layers named, and take those layers' outputs from now on.

        Of several students, each of which names its own, it takes what any of them named.

        Raises:
            NotAlike: for an earlier student it is folded in another way, so that its outputs would
                differ in the last bits.
        """
        kept = [path for path in hidden if path != PENULTIMATE]
        folded = fold_batchnorm(self.model, self.example, keep=kept)
        folded = folded.eval().requires_grad_(False)
        unfolded = [n for n, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)]
        structure = (*unfolded, *self.fused(folded, hidden, attention)[1])
        if self.structure not in (None, structure):
            raise IncompatibleStudents(
                f"the layers that it watches of {self.name} need a pass of their own"
            )
        self.structure = structure
        self.hidden = list(dict.fromkeys([*self.hidden, *hidden]))
        self.attention = list(dict.fromkeys([*self.attention, *attention]))
        self.observed = self.fused(folded, self.hidden, self.attention)[0]

    def fused(
        self, folded: nn.Module, hidden: Sequence[str], attention: Sequence[str]
    ) -> tuple[Callable[[Tensor], Features], list[str]]:
        """What runs the folded model, and which operations it fuses (on a CPU)."""
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
        """What it says of normalised (N, C, H, W) images."""
        return self.recent.get(images, lambda: self._outputs(images))

    def _outputs(self, images: Tensor) -> Features:
        with torch.inference_mode(), self.autocast():
            seen = self.observed(images)
        # A tensor made in inference mode cannot take part in autograd; its copy can.
        return Features(
            seen.logits.to(torch.float32, copy=True),
            {path: tensor.clone() for path, tensor in seen.hidden.items()},
            {path: tensor.clone() for path, tensor in seen.attention.items()},
        )


def lower_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Bring weights once into the type to which autocast would bring them for every batch."""
    for module in model.modules():
        # Others, such as subclasses, may compute with theirs where autocast does nothing.
        if type(module) in (nn.Conv2d, nn.Linear):
            module.to(dtype)
