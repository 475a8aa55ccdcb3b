"""Fidelity: agreement of student and teacher (Stanton et al., 2021)."""

from torch import Tensor

from kdrun.analysis.entropy import kl_divergence
from kdrun.analysis.inputs import paired_probabilities


def agreement(student_probs: Tensor, teacher_probs: Tensor) -> float:
    """Share of samples with the same predicted class, from (N, K) probabilities."""
    student, teacher = paired_probabilities(student_probs, teacher_probs)
    return (student.argmax(dim=1) == teacher.argmax(dim=1)).double().mean().item()


def mean_kl(student_probs: Tensor, teacher_probs: Tensor) -> float:
    """Mean KL(teacher || student) in nats of (N, K) probabilities.

    inf if the student gives 0 to a class that the teacher does not.
    """
    student, teacher = paired_probabilities(student_probs, teacher_probs)
    return kl_divergence(teacher, student).mean().item()
