"""Soft-target losses between logits: KL, hard targets, logit regression, mixtures, ensembles."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import (
    check_probabilities,
    check_some,
    full_precision,
    paired_logits,
)
from kdrun.losses.label import cross_entropy_loss
from kdrun.losses.temperature import check_temperature, softened, softmax_with_temperature, widened


def soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, T: float, scale_T2: bool = True
) -> Tensor:
    """T^2 KL(teacher || student) of softened (N, K) logits, batch mean (Hinton et al., 2015).

    At T = inf its limit, half the squared distance of the centred logits over K. At a finite T
    a teacher's logit may be -inf: its class counts nothing. ValueError for T outside (0, 1000].
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
    # Float32 rows sum to 1 only within 1e-7, which T^2 = 1e6 would turn into a wrong loss.
    return _softened_kl(student, probs / probs.sum(dim=-1, keepdim=True), T, scale_T2)


def _softened_kl(student: Tensor, teacher_probs: Tensor, T: float, scale_T2: bool) -> Tensor:
    log_probs = F.log_softmax(softened(student, T), dim=-1)
    kl = F.kl_div(counted(log_probs, teacher_probs), teacher_probs, reduction="sum")
    scale = T * T if scale_T2 else 1.0
    return (kl * (scale / len(student))).to(student.dtype)


def counted(log_probs: Tensor, teacher_probs: Tensor) -> Tensor:
    """The student's log-probabilities, 0 where the teacher's probability is.

    What it multiplies there may be -inf, of a class that both sides leave out.
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

    A term of weight 0 is not computed: alpha = 0 needs no teacher, alpha = 1 no labels.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    check_temperature(T)
    # Widened once, so that the gradients of the two terms are not added in bfloat16.
    (student,) = full_precision(student_logits)
    terms = []
    if alpha > 0:
        if teacher_logits is None:
            raise ValueError(f"alpha={alpha} needs teacher_logits; only alpha=0 goes without")
        terms.append(alpha * soft_target_loss(student, teacher_logits, T))
    if alpha < 1:
        if labels is None:
            raise ValueError(f"alpha={alpha} needs labels; only alpha=1 goes without")
        terms.append((1 - alpha) * cross_entropy_loss(student, labels, label_smoothing))
    return sum(terms[1:], start=terms[0])


def logit_mse_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Half the squared distance of (N, K) logits, batch mean (Ba & Caruana, 2014)."""
    student, teacher = paired_logits(student_logits, teacher_logits)
    return F.mse_loss(student, teacher, reduction="sum") / (2 * len(student))


def hard_target_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Cross-entropy against the class that the teacher puts first (DeiT, Touvron et al., 2021)."""
    student, teacher = paired_logits(student_logits, teacher_logits)
    # An argmax would hide that the teacher's logits are not finite.
    return F.cross_entropy(student, teacher.argmax(dim=-1)) + 0 * teacher.amax(dim=-1).mean()


def standardize_logits(logits: Tensor) -> Tensor:
    """(z - mean) / (unbiased std + 1e-7) over the classes (Sun et al., 2024); 0 if all equal.

    (..., K) finite logits of at least 2 classes.
    """
    if logits.shape[-1] < 2:
        raise ValueError(f"logits must be of at least 2 classes, got {tuple(logits.shape)}")
    check_some("logits", logits)
    (logits,) = full_precision(logits)
    centred = logits - logits.mean(dim=-1, keepdim=True)
    return centred / (logits.std(dim=-1, keepdim=True) + 1e-7)


def ensemble_probabilities(
    teacher_logits: Sequence[Tensor], T: float, weights: Sequence[float] | None = None
) -> Tensor:
    """Mean of the teachers' probabilities at T, for `soft_probability_loss`.

    `weights` (none negative, not all 0) are divided by their sum; by default all count the same.
    """
    shares = [1.0] * len(teacher_logits) if weights is None else list(weights)
    if len(shares) != len(teacher_logits):
        raise ValueError(f"{len(teacher_logits)} teachers but {len(shares)} weights")
    total = sum(shares)
    if not (total > 0 and math.isfinite(total) and min(shares) >= 0):
        raise ValueError(f"weights of at least one teacher must be >= 0, not all 0, got {shares}")
    if len({logits.shape for logits in teacher_logits}) > 1:
        shapes = [tuple(logits.shape) for logits in teacher_logits]
        raise ValueError(f"teachers differ in the shape of their logits: {shapes}")
    probs = [softmax_with_temperature(logits, T) for logits in teacher_logits]
    return torch.stack(
        [share / total * prob for share, prob in zip(shares, probs, strict=True)]
    ).sum(dim=0)
