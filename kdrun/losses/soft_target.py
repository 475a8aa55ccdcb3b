"""Soft-target losses between logits: softened KL, the teacher's argmax, logit regression."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import check_probabilities, full_precision, paired_logits
from kdrun.losses.label import cross_entropy_loss
from kdrun.losses.logit_term import LogitTerm
from kdrun.losses.teacher_logits import ensemble_probabilities, mean_logits
from kdrun.losses.temperature import check_temperature, softened, widened
from kdrun.losses.term import total


def soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, T: float, scale_T2: bool = True
) -> Tensor:
    """T^2 KL(teacher || student) of softened (N, K) logits, batch mean (Hinton et al., 2015).

    T = inf gives the limit, half the squared distance of the centred logits divided by K. At a
    finite T a teacher's logit may be -inf: the class is ignored. ValueError for T outside
    (0, 1000].
    """
    check_temperature(T)
    student, teacher = paired_logits(student_logits, teacher_logits)
    if math.isinf(T):
        return _infinite_T(student, teacher) if scale_T2 else 0 * student.sum()
    return _softened_kl(student, F.softmax(softened(teacher, T), dim=-1), T, scale_T2)


def soft_probability_loss(
    student_logits: Tensor, teacher_probs: Tensor, T: float, scale_T2: bool = True
) -> Tensor:
    """`soft_target_loss` against (N, K) probabilities already softened at a finite T."""
    check_temperature(T, infinite=False)
    check_probabilities("teacher_probs", teacher_probs)
    student, probs = paired_logits(student_logits, teacher_probs)
    probs = widened(probs, T)
    # Float32 rows sum to 1 only within 1e-7; T^2 = 1e6 would turn this error into a wrong loss.
    return _softened_kl(student, probs / probs.sum(dim=-1, keepdim=True), T, scale_T2)


def _softened_kl(student: Tensor, teacher_probs: Tensor, T: float, scale_T2: bool) -> Tensor:
    log_probs = F.log_softmax(softened(student, T), dim=-1)
    kl = F.kl_div(counted(log_probs, teacher_probs), teacher_probs, reduction="sum")
    scale = T * T if scale_T2 else 1.0
    return (kl * (scale / len(student))).to(student.dtype)


def counted(log_probs: Tensor, teacher_probs: Tensor) -> Tensor:
    """The student's log-probabilities, 0 for classes of teacher probability 0.

    The product would be 0 * -inf for a class that both sides exclude.
    """
    return log_probs.masked_fill(teacher_probs == 0, 0.0)


def _infinite_T(student: Tensor, teacher: Tensor) -> Tensor:
    difference = student - teacher
    centred = difference - difference.mean(dim=-1, keepdim=True)
    return centred.square().mean() / 2


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor | None,
    labels: Tensor | None,
    alpha: float,
    T: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """alpha * `soft_target_loss` + (1 - alpha) * `cross_entropy_loss` of the student at T = 1.

    Terms of weight 0 are skipped: alpha = 0 needs no teacher, alpha = 1 no labels.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    check_temperature(T)
    # Cast once, so that the gradients of the two terms are not added in bfloat16.
    (student,) = full_precision(student_logits)
    terms = []
    if alpha > 0:
        if teacher_logits is None:
            raise ValueError(f"alpha={alpha} needs teacher_logits; only alpha=0 works without them")
        terms.append(alpha * soft_target_loss(student, teacher_logits, T))
    if alpha < 1:
        if labels is None:
            raise ValueError(f"alpha={alpha} needs labels; only alpha=1 works without them")
        terms.append((1 - alpha) * cross_entropy_loss(student, labels, label_smoothing))
    return total(terms)


def logit_mse_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Half the squared distance of (N, K) logits, batch mean (Ba & Caruana, 2014)."""
    student, teacher = paired_logits(student_logits, teacher_logits)
    return F.mse_loss(student, teacher, reduction="sum") / (2 * len(student))


def hard_target_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Cross-entropy against the teacher's argmax class (DeiT, Touvron et al., 2021)."""
    student, teacher = paired_logits(student_logits, teacher_logits)
    # The second term keeps non-finite teacher logits visible; argmax would hide them.
    return F.cross_entropy(student, teacher.argmax(dim=-1)) + 0 * teacher.amax(dim=-1).mean()


class KlTerm(LogitTerm):
    """`soft_target_loss`."""

    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss of a batch."""
        return soft_target_loss(student, teacher, T)

    def ensemble_loss(
        self, student: Tensor, teachers: Sequence[Tensor], labels: Tensor, T: float
    ) -> Tensor:
        """The loss against the mean of the teachers' probabilities at T."""
        probs = ensemble_probabilities(teachers, T, self.teacher_weights)
        return soft_probability_loss(student, probs, T)


class LogitMseTerm(LogitTerm):
    """`logit_mse_loss`."""

    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss of a batch."""
        return logit_mse_loss(student, teacher)

    def ensemble_loss(
        self, student: Tensor, teachers: Sequence[Tensor], labels: Tensor, T: float
    ) -> Tensor:
        """The loss against the mean of the teachers' logits."""
        return logit_mse_loss(student, mean_logits(teachers, self.teacher_weights))


class TeacherArgmaxTerm(LogitTerm):
    """`hard_target_loss`."""

    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss of a batch."""
        return hard_target_loss(student, teacher)
