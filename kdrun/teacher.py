"""A finished stage as a teacher: frozen, folded, in eval mode; and the check that it may teach."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from kdrun.data.views import Normalizer
from kdrun.engine import Views
from kdrun.errors import WeightsError
from kdrun.models.folding import fold_batchnorm
from kdrun.objective import Outputs


class Teacher:
    """Logits of a frozen model. Not an nn.Module, so that no `.train()` or optimizer reaches it.

    Args:
        model: on its device; a folded copy of it is kept, the model itself is not changed.
        normalizer: the normalisation it was trained with.
        autocast: the precision it computes in.
        example: a batch of images to fold and check the copy on.
    """

    def __init__(
        self,
        model: nn.Module,
        normalizer: Normalizer,
        autocast: Callable[[], AbstractContextManager[object]],
        example: Tensor,
    ) -> None:
        self.normalizer = normalizer
        self.autocast = autocast
        self.model = fold_batchnorm(model, normalizer(example)).eval().requires_grad_(False)

    def logits(self, images: Tensor) -> Tensor:
        """(N, K) logits of normalised (N, C, H, W) images."""
        with torch.inference_mode(), self.autocast():
            logits = self.model(images)
        # A tensor made in inference mode cannot take part in autograd; its copy can.
        return logits.clone()

    def of_views(self, views: Views) -> Outputs:
        """What it says of the views that the student sees."""
        return Outputs(self.logits(views.images(self.normalizer)))


def least_accuracy(labels: Tensor) -> float:
    """The accuracy clearly above chance: the commonest label's share plus three standard errors."""
    chance = labels.bincount().max().item() / len(labels)
    return min(1.0, chance + 3 * math.sqrt(chance * (1 - chance) / len(labels)))


def check_accuracy(name: str, accuracy: float, least: float) -> None:
    """Refuse a teacher that has little to teach.

    Raises:
        WeightsError: the accuracy is below `least`.
    """
    if accuracy < least:
        raise WeightsError(
            f"teacher {name} is right on only {accuracy:.2%} of the validation images, below "
            f"{least:.2%}: wrong normalisation, labels or weights, or too little training? "
            "Train it longer (train.epochs), or set teacher.min_accuracy=0 to use it all the same"
        )
