"""The soft term of a mixture: any logit loss, standardised logits, ensembles of teachers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.losses.dist import dist_loss
from kdrun.losses.dkd import dkd_loss
from kdrun.losses.nkd import nkd_loss
from kdrun.losses.soft_target import (
    ensemble_probabilities,
    hard_target_loss,
    logit_mse_loss,
    soft_probability_loss,
    soft_target_loss,
    standardize_logits,
)
from kdrun.losses.term import Outputs, StepContext
from kdrun.losses.wsl import wsl_loss

# (student_logits, teacher_logits, labels, T) and the kind's own options -> loss
SOFT_LOSSES: dict[str, Callable[..., Tensor]] = {
    "kl": lambda student, teacher, labels, T: soft_target_loss(student, teacher, T),
    "logit_mse": lambda student, teacher, labels, T: logit_mse_loss(student, teacher),
    "hard": lambda student, teacher, labels, T: hard_target_loss(student, teacher),
    "dkd": lambda student, teacher, labels, T, alpha, beta: dkd_loss(
        student, teacher, labels, alpha, beta, T
    ),
    "dist": lambda student, teacher, labels, T, beta, gamma: dist_loss(
        student, teacher, beta, gamma, T
    ),
    "nkd": lambda student, teacher, labels, T, gamma: nkd_loss(student, teacher, labels, gamma, T),
    "wsl": wsl_loss,
}


class SoftTerm(nn.Module):
    """Distance of the student's logits from the teacher's.

    Args:
        kind: a key of `SOFT_LOSSES`.
        options: the kind's own numbers.
        standardize: compare logits of mean 0 and deviation 1 (Sun et al., 2024).
        warmup_epochs: the term's value grows linearly over so many epochs (Zhao et al., 2022).
        teacher_weights: of several teachers; None for equal ones.
    """

    def __init__(
        self,
        kind: str,
        options: Mapping[str, Any] | None = None,
        *,
        standardize: bool = False,
        warmup_epochs: int = 0,
        teacher_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.loss = partial(SOFT_LOSSES[kind], **(options or {}))
        self.standardize = standardize
        self.warmup_epochs = warmup_epochs
        self.teacher_weights = teacher_weights

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: StepContext
    ) -> Tensor:
        """The raw loss at the moment's temperature."""
        assert teacher is not None
        student_logits = self._prepared(student.logits)
        members = [self._prepared(logits) for logits in teacher.ensemble or (teacher.logits,)]
        loss = self._compare(student_logits, members, labels, moment.T)
        if moment.epoch + 1 < self.warmup_epochs:
            return loss * ((moment.epoch + 1) / self.warmup_epochs)
        return loss

    def _prepared(self, logits: Tensor) -> Tensor:
        return standardize_logits(logits) if self.standardize else logits

    def _compare(
        self, student_logits: Tensor, members: list[Tensor], labels: Tensor, T: float
    ) -> Tensor:
        if len(members) == 1:
            return self.loss(student_logits, members[0], labels, T)
        if self.kind == "kl":
            probs = ensemble_probabilities(members, T, self.teacher_weights)
            return soft_probability_loss(student_logits, probs, T)
        if self.kind == "logit_mse":
            return self.loss(student_logits, self._mean(members), labels, T)
        # The others take logits and do not see a constant in them: those of the mean probabilities.
        probs = ensemble_probabilities(members, 1.0, self.teacher_weights)
        tiny = torch.finfo(probs.dtype).tiny
        return self.loss(student_logits, probs.clamp_min(tiny).log(), labels, T)

    def _mean(self, members: list[Tensor]) -> Tensor:
        weights = self.teacher_weights or [1.0] * len(members)
        shares = [weight / sum(weights) for weight in weights]
        return torch.stack([w * x for w, x in zip(shares, members, strict=True)]).sum(0)
