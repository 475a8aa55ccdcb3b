"""Logit losses that treat the label's class and the others apart."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import class_indices, paired_logits
from kdrun.losses.soft_target import counted
from kdrun.temperature import check_temperature, softened


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    T: float = 4.0,
) -> Tensor:
    """T^2 (alpha KL(label or not) + beta KL(among the others)), batch mean (Zhao et al., 2022).

    (N, K) logits, (N,) class indices. With K = 2 the second divergence is 0.
    """
    check_temperature(T, infinite=False)
    student, teacher = paired_logits(student_logits, teacher_logits)
    labels = class_indices(labels, student)
    student_label, student_others = _split(softened(student, T), labels)
    teacher_label, teacher_others = _split(softened(teacher, T), labels)
    target = _binary_kl(
        _margin(student_label, student_others), _margin(teacher_label, teacher_others)
    )
    others = F.softmax(teacher_others, dim=-1)
    non_target = F.kl_div(
        counted(F.log_softmax(student_others, dim=-1), others), others, reduction="batchmean"
    )
    return (T * T * (alpha * target.mean() + beta * non_target)).to(student.dtype)


def nkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    gamma: float = 1.5,
    T: float = 1.0,
) -> Tensor:
    """Teacher-weighted cross-entropy of the label plus that of the others (Yang et al., 2023).

    -p_T log p_S of the label's class at T = 1, and gamma T^2 times the cross-entropy of the other
    classes' renormalised probabilities at T; (N, K) logits, (N,) class indices, batch mean.
    """
    check_temperature(T, infinite=False)
    student, teacher = paired_logits(student_logits, teacher_logits)
    labels = class_indices(labels, student)
    teacher_label, teacher_others = _split(teacher, labels)
    weight = torch.sigmoid(_margin(teacher_label, teacher_others))
    target = weight * F.cross_entropy(student, labels, reduction="none")
    _, student_others = _split(softened(student, T), labels)
    non_target = _soft_cross_entropy(student_others, F.softmax(softened(teacher_others, T), dim=-1))
    return (target.mean() + gamma * T * T * non_target.mean()).to(student.dtype)


def wsl_loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, T: float) -> Tensor:
    """T^2 times the soft cross-entropy, weighted by sample (Zhou et al., 2021), batch mean.

    The weight is 1 - exp(-CE_S / CE_T), without gradient, of the cross-entropies against the
    (N,) class indices at T = 1: a sample the student has learned better than the teacher
    counts less. (N, K) logits.
    """
    check_temperature(T, infinite=False)
    student, teacher = paired_logits(student_logits, teacher_logits)
    labels = class_indices(labels, student)
    ratio = _label_loss(student.detach(), labels) / _label_loss(teacher, labels)
    soft = _soft_cross_entropy(softened(student, T), F.softmax(softened(teacher, T), dim=-1))
    return (T * T * (-torch.expm1(-ratio) * soft).mean()).to(student.dtype)


def _soft_cross_entropy(student: Tensor, teacher_probs: Tensor) -> Tensor:
    """-sum p log q by sample, (N,), of softened logits."""
    return -(teacher_probs * counted(F.log_softmax(student, dim=-1), teacher_probs)).sum(dim=-1)


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The label's logit (N, 1) and the other classes' (N, K-1)."""
    target = labels[:, None]
    others = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, target), logits.gather(1, others + (others >= target))


def _margin(label: Tensor, others: Tensor) -> Tensor:
    """log(p / (1 - p)) of the label's probability p, (N,): exact where p rounds to 1."""
    limits = torch.finfo(label.dtype)
    # A teacher's logit of -inf becomes finite here, so that 0 log 0 comes out as 0.
    return (label.squeeze(1) - others.logsumexp(dim=1)).clamp(limits.min, limits.max)


def _binary_kl(student_margin: Tensor, teacher_margin: Tensor) -> Tensor:
    """KL of the label-or-not probabilities, (N,)."""
    p, not_p = teacher_margin.sigmoid(), (-teacher_margin).sigmoid()
    log_ratio = F.logsigmoid(teacher_margin) - F.logsigmoid(student_margin)
    not_log_ratio = F.logsigmoid(-teacher_margin) - F.logsigmoid(-student_margin)
    return p * log_ratio + not_p * not_log_ratio


def _label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy by sample, (N,), with the relative precision that a quotient of two needs."""
    # log_softmax rounds to 0 what a confident network has left to lose: 0 / 0 in the quotient.
    return F.softplus(-_margin(*_split(logits, labels))).clamp_min(torch.finfo(logits.dtype).tiny)
