"""DIST: correlation of the predictions of student and teacher (Huang et al., 2022)."""

import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.inputs import paired_logits
from kdrun.losses.logit_term import LogitTerm
from kdrun.losses.temperature import check_temperature, softened


def dist_loss(
    student_logits: Tensor, teacher_logits: Tensor, beta: float, gamma: float, T: float
) -> Tensor:
    """T^2 (beta (1 - r_sample) + gamma (1 - r_class)) (Huang et al., 2022).

    Pearson correlations of the probabilities at T: r_sample over the classes of each sample,
    r_class over the samples of each class, both averaged. (N, K) logits. The correlation with a
    constant counts as 0.
    """
    check_temperature(T, infinite=False)
    student, teacher = paired_logits(student_logits, teacher_logits)
    student_probs = F.softmax(softened(student, T), dim=-1)
    teacher_probs = F.softmax(softened(teacher, T), dim=-1)
    inter = 1 - _correlation(student_probs, teacher_probs, dim=1).mean()
    intra = 1 - _correlation(student_probs, teacher_probs, dim=0).mean()
    return (T * T * (beta * inter + gamma * intra)).to(student.dtype)


def _correlation(x: Tensor, y: Tensor, dim: int) -> Tensor:
    x = F.normalize(x - x.mean(dim, keepdim=True), dim=dim)
    y = F.normalize(y - y.mean(dim, keepdim=True), dim=dim)
    return (x * y).sum(dim)


class DistTerm(LogitTerm):
    """`dist_loss`."""

    def logit_loss(self, student: Tensor, teacher: Tensor, labels: Tensor, T: float) -> Tensor:
        """The loss of a batch."""
        return dist_loss(student, teacher, self.options.beta, self.options.gamma, T)
