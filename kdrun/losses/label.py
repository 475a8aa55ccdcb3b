"""Cross-entropy with the labels."""

from types import SimpleNamespace
from typing import Self

import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import check_probabilities, check_some, class_indices, full_precision
from kdrun.losses.term import LossTerm, Models, Outputs, StepContext


def cross_entropy_loss(
    student_logits: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of (N, K) logits against (N,) class indices or (N, K) probabilities.

    ValueError for labels that are neither; values are checked only on the CPU.
    """
    if labels.shape not in (student_logits.shape[:1], student_logits.shape):
        raise ValueError(
            f"labels must be (N,) class indices or (N, K) probabilities for logits of shape "
            f"{tuple(student_logits.shape)}, got {tuple(labels.shape)}"
        )
    (logits,) = full_precision(student_logits)
    if labels.ndim == 1:
        labels = class_indices(labels, logits)
    else:
        check_some("labels", labels)
        check_probabilities("labels", labels)
        labels = labels.to(logits.dtype)
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


class LabelTerm(LossTerm):
    """Cross-entropy of the student with the labels; needs no teacher."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> Self:
        """Build the term with the mixture's label smoothing."""
        return cls(options.label_smoothing)

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch."""
        return cross_entropy_loss(student.logits, labels, self.label_smoothing)
