"""Base class of terms between logits: standardised logits, ensembles of teachers."""

from abc import abstractmethod
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Self

import torch
from torch import Tensor

from kdrun.losses.teacher_logits import ensemble_probabilities, standardize_logits
from kdrun.losses.term import LossTerm, Models, Outputs, StepContext


class LogitTerm(LossTerm):
    """A loss between the logits of student and teacher.

    Args:
        options: of the term's row; `standardize` scales logits to mean 0 and deviation 1 (Sun et
            al., 2024), `T` replaces the scheduled temperature.
        teacher_weights: of several teachers; None for equal weights.
    """

    def __init__(
        self, options: SimpleNamespace, teacher_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.options = options
        self.teacher_weights = teacher_weights

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> Self:
        """Build the term for one or several teachers."""
        return cls(options, models.teacher_weights)

    @abstractmethod
    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss between (N, K) logits, a scalar."""

    def ensemble_loss(
        self, student: Tensor, teachers: Sequence[Tensor], labels: Tensor, T: float
    ) -> Tensor:
        """The loss against several teachers: by default against their mean probabilities."""
        # For losses invariant to a constant in the logits, the log of the mean probabilities.
        probs = ensemble_probabilities(teachers, 1.0, self.teacher_weights)
        tiny = torch.finfo(probs.dtype).tiny
        return self.logit_loss(student, probs.clamp_min(tiny).log(), labels, T)

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch."""
        own = getattr(self.options, "T", None)
        T = context.T if own is None else own
        logits = self._prepared(student.logits)
        teachers = [self._prepared(one) for one in teacher.ensemble or (teacher.logits,)]
        if len(teachers) == 1:
            return self.logit_loss(logits, teachers[0], labels, T)
        return self.ensemble_loss(logits, teachers, labels, T)

    def _prepared(self, logits: Tensor) -> Tensor:
        return standardize_logits(logits) if self.options.standardize else logits
