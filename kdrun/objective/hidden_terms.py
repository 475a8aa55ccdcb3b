"""Terms that look at hidden states: hints, attention, relations."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from kdrun.losses import (
    activation_attention_loss,
    attention_map_loss,
    hint_loss,
    match_spatial,
    rkd_angle_loss,
    rkd_distance_loss,
)
from kdrun.matching import tokens_to_map
from kdrun.objective.outputs import Moment, Outputs
from kdrun.objective.projectors import FittedProjection, Projector, normalized_rows


class Pair(NamedTuple):
    """A student's layer and the teacher's it is compared with, and their widths."""

    student: str
    teacher: str
    student_width: int = 0
    teacher_width: int = 0


def aligned(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both as maps of one size, or both as tokens or vectors; tokens meet maps as maps.

    Raises:
        ValueError: they cannot be compared.
    """
    if student.ndim == 4 or teacher.ndim == 4:
        student, teacher = (tokens_to_map(x) if x.ndim == 3 else x for x in (student, teacher))
        return match_spatial(student, teacher)
    if student.shape[:-1] != teacher.shape[:-1]:
        raise ValueError(
            f"student and teacher differ in tokens: {tuple(student.shape)}, {tuple(teacher.shape)}"
        )
    return student, teacher


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
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
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
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
    ) -> Tensor:
        """The raw loss."""
        assert teacher is not None
        losses = []
        for pair, projection in zip(self.pairs, self.fitted, strict=True):
            ours, theirs = aligned(student.hidden[pair.student], teacher.hidden[pair.teacher])
            target = projection(normalized_rows(theirs))
            losses.append(hint_loss(normalized_rows(ours), target, self.reduction))
        return sum(losses[1:], start=losses[0])


class ActivationAttentionTerm(nn.Module):
    """Attention transfer between feature maps (Zagoruyko and Komodakis, 2017)."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self.pairs = list(pairs)

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
    ) -> Tensor:
        """The raw loss."""
        assert teacher is not None
        found = [
            aligned(student.hidden[pair.student], teacher.hidden[pair.teacher])
            for pair in self.pairs
        ]
        return activation_attention_loss([ours for ours, _ in found], [t for _, t in found])


class AttentionMapTerm(nn.Module):
    """Difference of transformers' attention maps, summed over the pairs; `kind` mse or kl."""

    def __init__(self, pairs: Sequence[Pair], kind: str) -> None:
        super().__init__()
        self.pairs = list(pairs)
        self.kind = kind

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
    ) -> Tensor:
        """The raw loss."""
        assert teacher is not None
        losses = [
            attention_map_loss(
                student.attention[pair.student], teacher.attention[pair.teacher], kind=self.kind
            )
            for pair in self.pairs
        ]
        return sum(losses[1:], start=losses[0])


RELATIONS = {"distance": rkd_distance_loss, "angle": rkd_angle_loss}


class RelationTerm(nn.Module):
    """Distances or angles among a batch's samples (Park et al., 2019); `kind` of `RELATIONS`."""

    def __init__(self, pair: Pair, kind: str, reduction: str = "mean") -> None:
        super().__init__()
        self.pair = pair
        self.loss = RELATIONS[kind]
        self.reduction = reduction

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: Moment
    ) -> Tensor:
        """The raw loss."""
        assert teacher is not None
        ours = student.hidden[self.pair.student].flatten(1)
        theirs = teacher.hidden[self.pair.teacher].flatten(1)
        return self.loss(ours, theirs, self.reduction)
