"""Hint losses between hidden states: a trained projector or a fitted projection."""

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from kdrun.losses.alignment import Pair, aligned, match_spatial
from kdrun.losses.inputs import check_reduction, full_precision, paired
from kdrun.losses.projectors import FittedProjection, Projector, normalized_rows
from kdrun.losses.term import Outputs, StepContext


def hint_loss(student_hidden: Tensor, teacher_hidden: Tensor, reduction: str = "mean") -> Tensor:
    """Squared difference of hidden states of one width (Romero et al., 2015), "mean" or "sum".

    Any shape; of (N, C, H, W) maps the larger is pooled to the smaller.
    """
    check_reduction(reduction, ("mean", "sum"))
    student, teacher = full_precision(student_hidden, teacher_hidden.detach())
    if student.ndim == teacher.ndim == 4:
        student, teacher = match_spatial(student, teacher)
    return F.mse_loss(*paired(student, teacher), reduction=reduction)


class HintTerm(nn.Module):
    """Squared difference of hidden states, summed over the pairs (Romero et al., 2015).

    Where widths differ the student's is projected by a trained `Projector`.
    """

    def __init__(self, pairs: Sequence[Pair], reduction: str = "mean") -> None:
        super().__init__()
        self.pairs = list(pairs)
        self.reduction = reduction
        self.projectors = nn.ModuleList(
            Projector(pair.student_width, pair.teacher_width)
            if pair.student_width != pair.teacher_width
            else nn.Identity()
            for pair in self.pairs
        )

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: StepContext
    ) -> Tensor:
        """The raw loss."""
        assert teacher is not None
        losses = []
        for pair, projector in zip(self.pairs, self.projectors, strict=True):
            ours, theirs = aligned(student.hidden[pair.student], teacher.hidden[pair.teacher])
            losses.append(hint_loss(projector(ours), theirs, self.reduction))
        return sum(losses[1:], start=losses[0])


class FittedHintTerm(nn.Module):
    """As `HintTerm`, but the teacher's normalised states are projected to the student's width."""

    def __init__(self, pairs: Sequence[Pair], reduction: str = "mean") -> None:
        super().__init__()
        self.pairs = list(pairs)
        self.reduction = reduction
        self.fitted = [FittedProjection(p.student_width, p.teacher_width) for p in self.pairs]
        self.projections = nn.ModuleList(self.fitted)

    def fit(self, batches: Iterable[tuple[Outputs, Outputs]]) -> float:
        """Refit every projection to (student, teacher) outputs; returns the largest 1 - R^2."""
        fits = [projection.sums() for projection in self.fitted]
        for student, teacher in batches:
            for pair, fit in zip(self.pairs, fits, strict=True):
                ours, theirs = aligned(student.hidden[pair.student], teacher.hidden[pair.teacher])
                fit.update(normalized_rows(theirs), normalized_rows(ours))
        return max(projection.take(fit) for projection, fit in zip(self.fitted, fits, strict=True))

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: StepContext
    ) -> Tensor:
        """The raw loss."""
        assert teacher is not None
        losses = []
        for pair, projection in zip(self.pairs, self.fitted, strict=True):
            ours, theirs = aligned(student.hidden[pair.student], teacher.hidden[pair.teacher])
            target = projection(normalized_rows(theirs))
            losses.append(hint_loss(normalized_rows(ours), target, self.reduction))
        return sum(losses[1:], start=losses[0])
