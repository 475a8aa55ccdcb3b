"""Normalised knowledge distillation (Yang et al., 2023)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import class_indices, paired_logits
from kdrun.losses.logit_term import LogitTerm
from kdrun.losses.target_split import label_margin, soft_cross_entropy, split_label
from kdrun.losses.temperature import check_temperature, softened


def nkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    gamma: float = 1.5,
    T: float = 1.0,
) -> Tensor:
    """Teacher-weighted target cross-entropy plus non-target cross-entropy (Yang et al., 2023).

    -p_T log p_S of the target class at T = 1, plus gamma T^2 times the cross-entropy of the
    renormalised non-target probabilities at T; (N, K) logits, (N,) class indices, batch mean.
    """
    check_temperature(T, infinite=False)
    student, teacher = paired_logits(student_logits, teacher_logits)
    labels = class_indices(labels, student)
    teacher_label, teacher_others = split_label(teacher, labels)
    weight = torch.sigmoid(label_margin(teacher_label, teacher_others))
    target = weight * F.cross_entropy(student, labels, reduction="none")
    _, student_others = split_label(softened(student, T), labels)
    non_target = soft_cross_entropy(student_others, F.softmax(softened(teacher_others, T), dim=-1))
    return (target.mean() + gamma * T * T * non_target.mean()).to(student.dtype)


class NkdTerm(LogitTerm):
    """`nkd_loss`."""

    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss of a batch."""
        return nkd_loss(student, teacher, labels, self.options.gamma, T)
