"""Hint losses between hidden states: a trained projector or a fitted projection."""

import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdrun.losses.alignment import Pair, match_spatial
from kdrun.losses.inputs import check_reduction, full_precision, paired
from kdrun.losses.projectors import FittedProjection, Projector, normalized_rows
from kdrun.losses.term import LossTerm, Models, Outputs, StepContext, aligned_states, total


def hint_loss(student_hidden: Tensor, teacher_hidden: Tensor, reduction: str = "mean") -> Tensor:
    """Squared difference of hidden states of equal width (Romero et al., 2015), "mean" or "sum".

    Any shape; the larger of two (N, C, H, W) maps is pooled to the size of the smaller.
    """
    check_reduction(reduction, ("mean", "sum"))
    student, teacher = full_precision(student_hidden, teacher_hidden.detach())
    if student.ndim == teacher.ndim == 4:
        student, teacher = match_spatial(student, teacher)
    return F.mse_loss(*paired(student, teacher), reduction=reduction)


class HintTerm(LossTerm):
    """`hint_loss`, summed over the pairs (Romero et al., 2015).

    A trained `Projector` maps the student's states to the teacher's width if widths differ.
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

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> LossTerm:
        """Build the term with the projection set in the options."""
        kind = FittedHintTerm if options.projection == "closed_form" else cls
        return kind(models.pairs("layers", options.layers), options.reduction)

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch."""
        projected = zip(self.projectors, aligned_states(self.pairs, student, teacher), strict=True)
        return total(
            hint_loss(projector(ours), theirs, self.reduction)
            for projector, (ours, theirs) in projected
        )


class FittedHintTerm(LossTerm):
    """`HintTerm` with the teacher's normalised states projected to the student's width."""

    unexplained: Tensor

    def __init__(self, pairs: Sequence[Pair], reduction: str = "mean") -> None:
        super().__init__()
        self.pairs = list(pairs)
        self.reduction = reduction
        self.projections = nn.ModuleList(
            FittedProjection(pair.student_width, pair.teacher_width) for pair in self.pairs
        )
        self.register_buffer("unexplained", torch.tensor(math.nan, dtype=torch.float64))

    def epoch_fit(self) -> "ProjectionFits":
        """Empty sums for every projection."""
        return ProjectionFits(self)

    def numbers(self) -> dict[str, float]:
        """The largest 1 - R^2 of the projections."""
        return {"unexplained": float(self.unexplained)}

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch."""
        projected = zip(self.projections, self.rows(student, teacher), strict=True)
        return total(
            hint_loss(ours, projection(theirs), self.reduction)
            for projection, (ours, theirs) in projected
        )

    def rows(self, student: Outputs, teacher: Outputs) -> list[tuple[Tensor, Tensor]]:
        """Normalised rows of each pair's hidden states, student's and teacher's."""
        return [
            (normalized_rows(ours), normalized_rows(theirs))
            for ours, theirs in aligned_states(self.pairs, student, teacher)
        ]


class ProjectionFits:
    """Sums for fitting the projections of a `FittedHintTerm`."""

    def __init__(self, term: FittedHintTerm) -> None:
        self.term = term
        self.sums = [projection.sums() for projection in self._projections()]

    def update(self, student: Outputs, teacher: Outputs) -> None:
        """Add a batch."""
        for sums, (ours, theirs) in zip(self.sums, self.term.rows(student, teacher), strict=True):
            sums.update(theirs, ours)

    def finish(self) -> None:
        """Refit every projection."""
        fitted = zip(self._projections(), self.sums, strict=True)
        self.term.unexplained.fill_(max(projection.take(sums) for projection, sums in fitted))

    def _projections(self) -> list[FittedProjection]:
        return [one for one in self.term.projections if isinstance(one, FittedProjection)]
