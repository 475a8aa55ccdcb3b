"""The weighted mixture of loss terms that a stage minimises."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from kdrun.losses import cross_entropy_loss, hard_target_loss, logit_mse_loss, soft_target_loss


class Outputs(NamedTuple):
    """What a model says of a batch: (N, K) logits."""

    logits: Tensor


class LabelTerm(nn.Module):
    """Cross-entropy of the student with the labels."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, T: float
    ) -> Tensor:
        """Labels are (N,) class indices or (N, K) probabilities."""
        return cross_entropy_loss(student.logits, labels, self.label_smoothing)


SoftLoss = Callable[[Tensor, Tensor, float], Tensor]

SOFT_LOSSES: dict[str, SoftLoss] = {
    "kl": soft_target_loss,
    "logit_mse": lambda student_logits, teacher_logits, T: logit_mse_loss(
        student_logits, teacher_logits
    ),
    "hard": lambda student_logits, teacher_logits, T: hard_target_loss(
        student_logits, teacher_logits
    ),
}


class SoftTerm(nn.Module):
    """Distance of the student's logits from the teacher's: a loss of `SOFT_LOSSES`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.loss = SOFT_LOSSES[kind]

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, T: float
    ) -> Tensor:
        """The raw loss at temperature T."""
        assert teacher is not None
        return self.loss(student.logits, teacher.logits, T)


class Objective(nn.Module):
    """The sum over the terms of weight times loss; a term without weight is not there at all.

    Args:
        terms: modules called with (student, teacher, labels, T), by name.
        weights: the weight of each, above 0.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        assert terms.keys() == weights.keys()
        self.terms = nn.ModuleDict(terms)
        self.weights = dict(weights)

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, T: float
    ) -> dict[str, Tensor]:
        """The raw value of every term, by name; `teacher` may be None where no term needs it."""
        return {name: term(student, teacher, labels, T) for name, term in self.terms.items()}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum that is minimised."""
        weighted = [self.weights[name] * value for name, value in terms.items()]
        return sum(weighted[1:], start=weighted[0])


def build_objective(
    weights: Mapping[str, float], *, soft: str, label_smoothing: float
) -> Objective:
    """The objective with the terms that have a weight."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "soft": lambda: SoftTerm(soft),
        "hard": lambda: LabelTerm(label_smoothing),
    }
    return Objective({name: makers[name]() for name in weights}, weights)
