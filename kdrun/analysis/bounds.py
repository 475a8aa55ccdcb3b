"""Bounds on the student's error in terms of the teacher's, with the observed errors."""

import math
from dataclasses import dataclass

from torch import Tensor

from kdrun.analysis.entropy import kl_divergence, total_variation
from kdrun.analysis.inputs import class_probabilities, paired_probabilities
from kdrun.analysis.intervals import hoeffding_half_width
from kdrun.analysis.scores import argmax_error, gibbs_error

# What rounding may add to one side of an inequality that holds with equality.
ROUNDING = 1e-12


@dataclass(frozen=True)
class GeneralizationBound:
    """Errors of teacher and student, their divergence, and the bounds that relate them.

    eps is the argmax error, eps_gibbs the error when the class is drawn from the probabilities.
    Always |eps_gibbs_S - eps_gibbs_T| <= tv <= pinsker <= sqrt(d_kl).
    """

    eps_T: float
    eps_S: float
    eps_gibbs_T: float
    eps_gibbs_S: float
    d_kl: float
    """Mean KL(teacher || student) at T = 1, nats."""
    tv: float
    """Mean total variation distance."""
    pinsker: float
    """sqrt(d_kl / 2)."""
    seed_bound: float
    """eps_gibbs_T + sqrt(d_kl), which bounds eps_gibbs_S; with eps for eps_gibbs it can fail."""
    disagreement: float
    """Share of samples with different decisions of student and teacher; at least eps_S - eps_T."""
    margin_certificate: float
    """Share with a teacher margin of at most twice the total variation; at least disagreement."""
    holds: dict[str, bool]
    """Whether each bound held here; all are theorems except `seed_bound_argmax`,
    eps_S <= eps_T + sqrt(d_kl)."""


def generalization_bound(
    student_probs: Tensor, teacher_probs: Tensor, labels: Tensor
) -> GeneralizationBound:
    """Compute errors and bounds from (N, K) probabilities at T = 1 and (N,) class indices."""
    student, teacher = paired_probabilities(student_probs, teacher_probs)
    eps_T, eps_S = argmax_error(teacher, labels), argmax_error(student, labels)
    gibbs_T, gibbs_S = gibbs_error(teacher, labels), gibbs_error(student, labels)
    d_kl = kl_divergence(teacher, student).mean().item()
    variation = total_variation(teacher, student)
    tv, pinsker, root = variation.mean().item(), math.sqrt(d_kl / 2), math.sqrt(d_kl)
    disagreement = (student.argmax(dim=1) != teacher.argmax(dim=1)).double().mean().item()
    uncertain = _margins(teacher) <= 2 * variation + ROUNDING
    certificate = uncertain.double().mean().item()
    inequalities = {
        "tv": (abs(gibbs_S - gibbs_T), tv),
        "pinsker": (tv, pinsker),
        "sqrt_kl": (pinsker, root),
        "seed_bound": (gibbs_S, gibbs_T + root),
        "seed_bound_argmax": (eps_S, eps_T + root),
        "disagreement": (eps_S, eps_T + disagreement),
        "margin_certificate": (disagreement, certificate),
    }
    return GeneralizationBound(
        eps_T=eps_T,
        eps_S=eps_S,
        eps_gibbs_T=gibbs_T,
        eps_gibbs_S=gibbs_S,
        d_kl=d_kl,
        tv=tv,
        pinsker=pinsker,
        seed_bound=gibbs_T + root,
        disagreement=disagreement,
        margin_certificate=certificate,
        holds={name: low <= high + ROUNDING for name, (low, high) in inequalities.items()},
    )


def _margins(rows: Tensor) -> Tensor:
    """(N,) margins: largest minus second largest probability."""
    first, second = rows.topk(2, dim=1).values.unbind(dim=1)
    return first - second


@dataclass(frozen=True)
class TrainTestGap:
    """Errors of one model on its training images and on test images."""

    train_error: float
    test_error: float
    gap: float
    """test_error - train_error."""
    half_width: float
    """Bound on |true error - test_error| with probability 1 - delta (Hoeffding)."""


def train_test_gap(
    train_probs: Tensor,
    train_labels: Tensor,
    test_probs: Tensor,
    test_labels: Tensor,
    delta: float = 0.05,
) -> TrainTestGap:
    """The gap of the argmax errors, from (N, K) probabilities and (N,) class indices of each."""
    train = argmax_error(class_probabilities("train_probs", train_probs), train_labels)
    test = argmax_error(class_probabilities("test_probs", test_probs), test_labels)
    width = hoeffding_half_width(len(test_probs), delta)
    return TrainTestGap(train, test, test - train, width)
