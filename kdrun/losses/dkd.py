"""Decoupled knowledge distillation (Zhao et al., 2022)."""

import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import class_indices, paired_logits
from kdrun.losses.logit_term import LogitTerm
from kdrun.losses.soft_target import counted
from kdrun.losses.target_split import label_margin, split_label
from kdrun.losses.temperature import check_temperature, softened
from kdrun.losses.term import linear_warmup


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    T: float = 4.0,
) -> Tensor:
    """T^2 (alpha KL(target class) + beta KL(non-target classes)), batch mean (Zhao et al., 2022).

    (N, K) logits, (N,) class indices. With K = 2 the second divergence is 0.
    """
    check_temperature(T, infinite=False)
    student, teacher = paired_logits(student_logits, teacher_logits)
    labels = class_indices(labels, student)
    student_label, student_others = split_label(softened(student, T), labels)
    teacher_label, teacher_others = split_label(softened(teacher, T), labels)
    target = _binary_kl(
        label_margin(student_label, student_others), label_margin(teacher_label, teacher_others)
    )
    others = F.softmax(teacher_others, dim=-1)
    non_target = F.kl_div(
        counted(F.log_softmax(student_others, dim=-1), others), others, reduction="batchmean"
    )
    return (T * T * (alpha * target.mean() + beta * non_target)).to(student.dtype)


def _binary_kl(student_margin: Tensor, teacher_margin: Tensor) -> Tensor:
    """KL of the binary target and non-target probabilities, (N,)."""
    p, not_p = teacher_margin.sigmoid(), (-teacher_margin).sigmoid()
    log_ratio = F.logsigmoid(teacher_margin) - F.logsigmoid(student_margin)
    not_log_ratio = F.logsigmoid(-teacher_margin) - F.logsigmoid(-student_margin)
    return p * log_ratio + not_p * not_log_ratio


class DkdTerm(LogitTerm):
    """`dkd_loss`."""

    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss of a batch."""
        own = self.options
        return dkd_loss(student, teacher, labels, own.alpha, own.beta, T)

    def strength(self, epoch: int) -> float:
        """The authors' linear warm-up."""
        return linear_warmup(epoch, self.options.warmup_epochs)
