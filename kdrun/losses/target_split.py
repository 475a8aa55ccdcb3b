"""Split of logits into target and non-target classes, and functions of this split."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.soft_target import counted


def soft_cross_entropy(student: Tensor, teacher_probs: Tensor) -> Tensor:
    """-sum p log q per sample, (N,), for softened student logits."""
    return -(teacher_probs * counted(F.log_softmax(student, dim=-1), teacher_probs)).sum(dim=-1)


def split_label(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The target logit (N, 1) and the non-target logits (N, K-1)."""
    target = labels[:, None]
    others = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, target), logits.gather(1, others + (others >= target))


def label_margin(label: Tensor, others: Tensor) -> Tensor:
    """log(p / (1 - p)) of the target probability p, (N,); exact even if p rounds to 1."""
    limits = torch.finfo(label.dtype)
    # Makes a teacher's logit of -inf finite, so that 0 log 0 = 0.
    return (label.squeeze(1) - others.logsumexp(dim=1)).clamp(limits.min, limits.max)
