"""Weighted soft labels (Zhou et al., 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import class_indices, paired_logits
from kdrun.losses.logit_term import LogitTerm
from kdrun.losses.target_split import label_margin, soft_cross_entropy, split_label
from kdrun.losses.temperature import check_temperature, softened


def wsl_loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, T: float) -> Tensor:
    """T^2 times the sample-weighted soft cross-entropy, batch mean (Zhou et al., 2021).

    The weight is 1 - exp(-CE_S / CE_T), without gradient, with the cross-entropies against the
    (N,) class indices at T = 1: samples that the student has learned better than the teacher
    count less. (N, K) logits.
    """
    check_temperature(T, infinite=False)
    student, teacher = paired_logits(student_logits, teacher_logits)
    labels = class_indices(labels, student)
    ratio = _label_loss(student.detach(), labels) / _label_loss(teacher, labels)
    soft = soft_cross_entropy(softened(student, T), F.softmax(softened(teacher, T), dim=-1))
    return (T * T * (-torch.expm1(-ratio) * soft).mean()).to(student.dtype)


def _label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per sample, (N,), precise enough for the quotient of two such losses."""
    # log_softmax rounds the small loss of a confident network to 0: 0 / 0 in the quotient.
    return F.softplus(-label_margin(*split_label(logits, labels))).clamp_min(
        torch.finfo(logits.dtype).tiny
    )


class WslTerm(LogitTerm):
    """`wsl_loss`."""

    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss of a batch."""
        return wsl_loss(student, teacher, labels, T)
