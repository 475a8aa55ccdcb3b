"""Softened KL at a learned, adversarial temperature (CTKD, Li et al., 2023)."""

import math
from types import SimpleNamespace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdrun.losses.inputs import paired_logits
from kdrun.losses.term import LossTerm, Models, Outputs, StepContext


def learned_temperature_loss(student_logits: Tensor, teacher_logits: Tensor, T: Tensor) -> Tensor:
    """`soft_target_loss` at a scalar tensor T > 0, with the gradient of T from both sides."""
    student, teacher = paired_logits(student_logits, teacher_logits)
    # For similar student and teacher, the derivative by T is a small difference of large sums:
    # in float32 only rounding error, at T = 11 for deviations up to 0.01.
    wide = student.dtype if student.device.type == "mps" else torch.float64  # mps has no float64
    T = T.to(wide)
    log_student = F.log_softmax(student.to(wide) / T, dim=-1)
    log_teacher = F.log_softmax(teacher.to(wide) / T, dim=-1)
    kl = F.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return (T * T * kl / len(student)).to(student.dtype)


class _ReverseGradient(torch.autograd.Function):
    """Gradient reversal: the identity, with the gradient multiplied by -strength."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


class LearnedTemperatureTerm(LossTerm):
    """Softened KL at a temperature trained to maximise it (CTKD, Li et al., 2023).

    T = 1 + 20 sigmoid(tau). The gradient of tau is reversed, and scaled by a factor that rises
    from 0 to 1 along half a cosine over the first epochs: a curriculum of growing difficulty.
    """

    def __init__(self, warmup_epochs: int = 10) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.zeros(()))
        self.warmup_epochs = warmup_epochs

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> Self:
        """Build the term with its warm-up."""
        return cls(models.learned_warmup)

    def temperature(self) -> Tensor:
        """The current T, without gradient."""
        return 1 + 20 * torch.sigmoid(self.tau.detach())

    def numbers(self) -> dict[str, float]:
        """The current T."""
        return {"T": float(self.temperature())}

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch; a descent step on it ascends in tau."""
        progress = min(1.0, context.epoch / self.warmup_epochs) if self.warmup_epochs else 1.0
        strength = (1 - math.cos(math.pi * progress)) / 2
        T = 1 + 20 * torch.sigmoid(_ReverseGradient.apply(self.tau, strength))
        return learned_temperature_loss(student.logits, teacher.logits, T)
