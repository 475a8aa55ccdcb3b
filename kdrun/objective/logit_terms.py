"""Terms that look at logits: the labels' cross-entropy and the soft terms."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.losses import (
    cross_entropy_loss,
    dist_loss,
    dkd_loss,
    ensemble_probabilities,
    hard_target_loss,
    learned_temperature_loss,
    logit_mse_loss,
    nkd_loss,
    soft_probability_loss,
    soft_target_loss,
    standardize_logits,
    wsl_loss,
)
from kdrun.objective.outputs import Moment, Outputs


class LabelTerm(nn.Module):
    """Cross-entropy of the student with the labels."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
    ) -> Tensor:
        """Labels are (N,) class indices or (N, K) probabilities."""
        return cross_entropy_loss(student.logits, labels, self.label_smoothing)


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
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
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


class _ReverseGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -strength."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


class LearnedTemperatureTerm(nn.Module):
    """Softened KL at a temperature that is trained to make it hard (CTKD, Li et al., 2023).

    T = 1 + 20 sigmoid(tau). The gradient of tau is reversed, and scaled by a factor that rises
    from 0 to 1 on half a cosine over the first epochs, so that the task grows harder.
    """

    def __init__(self, warmup_epochs: int = 10) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.zeros(()))
        self.warmup_epochs = warmup_epochs

    def temperature(self) -> Tensor:
        """T now, without gradient."""
        return 1 + 20 * torch.sigmoid(self.tau.detach())

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
    ) -> Tensor:
        """The raw loss; minimising it raises it in tau."""
        assert teacher is not None
        progress = min(1.0, moment.epoch / self.warmup_epochs) if self.warmup_epochs else 1.0
        strength = (1 - math.cos(math.pi * progress)) / 2
        T = 1 + 20 * torch.sigmoid(_ReverseGradient.apply(self.tau, strength))
        return learned_temperature_loss(student.logits, teacher.logits, T)
