"""Relational knowledge distillation: distances and angles in a batch (Park et al., 2019)."""

import warnings
from abc import abstractmethod
from types import SimpleNamespace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.alignment import Pair
from kdrun.losses.inputs import check_reduction, check_some, full_precision
from kdrun.losses.term import LossTerm, Models, Outputs, StepContext

REDUCTIONS = ("mean", "sum", "reference")

# Entries of one (anchors, N, N) buffer, three of which are alive at a time: few enough for a CPU's
# cache, and on other devices enough to make the launch overhead negligible.
CHUNKS = {"cpu": 2**19}
LARGE_CHUNK = 2**24


def rkd_distance_loss(student: Tensor, teacher: Tensor, reduction: str = "mean") -> Tensor:
    """Huber loss on pairwise distances, each side's divided by its mean distance.

    Args:
        student: (N, d) features; the batch's mean distance has a gradient too. With fewer than 2
            samples the loss is 0, with a warning.
        teacher: (N, any width).
        reduction: "mean" or "sum" over the ordered pairs of distinct samples; "reference" divides
            the sum by N², as the authors' code does.
    """
    _check(student, teacher, reduction)
    samples = len(student)
    if samples < 2:
        return _nothing_to_compare("distance", 2, student)
    total = F.smooth_l1_loss(
        _relative_distances(student), _relative_distances(teacher.detach()), reduction="sum"
    )
    count = {"mean": samples * (samples - 1), "sum": 1, "reference": samples**2}[reduction]
    return (total / count).to(_dtype(student))


def rkd_angle_loss(student: Tensor, teacher: Tensor, reduction: str = "mean") -> Tensor:
    """Huber loss on the cosines of the angles at each sample between every two others.

    Args:
        student: (N, d) features. The cost is O(N³) for any d, the memory constant. With fewer
            than 3 samples the loss is 0, with a warning; there is no second derivative.
        teacher: (N, any width).
        reduction: "mean" or "sum" over the ordered triples of distinct samples; "reference"
            divides the sum by N³, as the authors' code does.
    """
    _check(student, teacher, reduction)
    samples = len(student)
    if samples < 3:
        return _nothing_to_compare("angle", 3, student)
    dtype = _dtype(student)
    squared = (_squared_distances(student), _squared_distances(teacher.detach()))
    total: Tensor = _AngleSum.apply(*(_unscaled(one).to(dtype) for one in squared))
    triples = samples * (samples - 1) * (samples - 2)
    count = {"mean": triples, "sum": 1, "reference": samples**3}[reduction]
    return total / count


def _check(student: Tensor, teacher: Tensor, reduction: str) -> None:
    check_reduction(reduction, REDUCTIONS)
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher):
        raise ValueError(
            f"features must be (N, d) of the same samples, got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    check_some("student and teacher", student)


def _dtype(student: Tensor) -> torch.dtype:
    return full_precision(student)[0].dtype


def _nothing_to_compare(relation: str, least: int, student: Tensor) -> Tensor:
    warnings.warn(
        f"the rkd {relation} loss compares at least {least} samples: 0 for a batch of "
        f"{len(student)}",
        stacklevel=3,
    )
    return 0 * student.sum(dtype=_dtype(student)).abs()


def _squared_distances(features: Tensor) -> Tensor:
    """(N, N) float64; exactly 0, with gradient 0, between rows equal to within rounding."""
    # The Gram matrix costs N² d and no (N, N, d) buffer. Its cancellation ruins float32 at a mean
    # of 100, but is negligible in float64 about the mean.
    features = features.double()
    features = features - features.mean(dim=0)
    gram = features @ features.T
    squares = gram.diagonal()[:, None] + gram.diagonal()
    squared = squares - 2 * gram
    rounding = 4 * features.shape[1] * torch.finfo(torch.float64).eps
    # This comparison keeps nan as nan.
    return squared.masked_fill(squared <= rounding * squares, 0.0)


def _unscaled(squared: Tensor) -> Tensor:
    """Scale by a power of 4 to a maximum of about 1, the range of float32."""
    # Angles are scale-invariant, and an even power of 2 changes no digit of a root.
    exponent = torch.frexp(squared.detach().amax())[1] // 2 * 2
    return squared * torch.exp2(-exponent.double())


def _relative_distances(features: Tensor) -> Tensor:
    """(N, N) distances divided by the mean over distinct pairs; all 0 for a collapsed batch."""
    squared = _squared_distances(features)
    # The root has no gradient at 0: use the one at 1 there and discard it.
    together = squared == 0
    distances = squared.masked_fill(together, 1.0).sqrt().masked_fill(together, 0.0)
    mean = distances.sum() / (len(features) * (len(features) - 1))
    return distances / mean.masked_fill(mean == 0, 1.0)


class _AngleSum(torch.autograd.Function):
    """Sum of the Huber losses over the ordered triples, from (N, N) squared distances.

    Autograd would keep several (N, N, N) tensors for the backward pass; the gradient has a closed
    form, summed a few anchors at a time along with the loss.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor) -> Tensor:
        samples = len(student)
        student_inverse, teacher_inverse = _inverse_distances(student), _inverse_distances(teacher)
        total = student.new_zeros((), dtype=torch.float64)
        gradient = torch.zeros_like(student)
        step = max(1, CHUNKS.get(student.device.type, LARGE_CHUNK) // samples**2)
        for start in range(0, samples, step):
            anchors = slice(start, start + step)
            arms = student_inverse[anchors]
            cosines = _cosines(student, student_inverse, anchors)
            difference = _cosines(teacher, teacher_inverse, anchors).neg_().add_(cosines)
            difference.diagonal(dim1=1, dim2=2).zero_()
            # The derivative of the Huber loss; the loss itself is slope * (difference - slope / 2).
            slope = difference.clamp(-1, 1)
            total += difference.add_(slope, alpha=-0.5).mul_(slope).sum()
            turned = cosines.mul_(slope).sum(dim=2)
            pull = slope.mul_(arms[:, :, None]).mul_(arms[:, None, :])
            gradient -= pull.sum(dim=0) / 2
            gradient[anchors] += pull.sum(dim=2) - turned * arms.square()
        ctx.save_for_backward(gradient)
        return total.to(student.dtype)

    @staticmethod
    def backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor, None]:
        # once_differentiable would accept a graph with the saved gradient as a constant.
        if torch.is_grad_enabled():
            raise RuntimeError("rkd_angle_loss has no second derivative: omit create_graph")
        (gradient,) = ctx.saved_tensors
        return output_gradient * gradient, None


def _inverse_distances(squared: Tensor) -> Tensor:
    """1 / distance, 0 between duplicates: an angle with such a side counts as a right angle."""
    together = squared == 0
    return squared.masked_fill(together, 1.0).rsqrt().masked_fill(together, 0.0)


def _cosines(squared: Tensor, inverse: Tensor, anchors: slice) -> Tensor:
    """(anchors, N, N) cosines of the angles at each anchor, by the law of cosines.

    Squared distances alone stay precise even for close samples far from the others.
    """
    sides, arms = squared[anchors] / 2, inverse[anchors]
    cosines = sides[:, :, None] + sides[:, None, :]
    return cosines.sub_(squared, alpha=0.5).mul_(arms[:, :, None]).mul_(arms[:, None, :])


class RelationTerm(LossTerm):
    """A loss on relations among the samples of a batch (Park et al., 2019)."""

    def __init__(self, pair: Pair, reduction: str = "mean") -> None:
        super().__init__()
        self.pair = pair
        self.reduction = reduction

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> Self:
        """Build the term between the inputs of the classifiers, or between the named layers."""
        if options.layer is None:
            return cls(models.penultimate())
        (pair,) = models.pairs("layer", [options.layer])
        return cls(pair)

    @abstractmethod
    def relation_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss between (N, d) features."""

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch."""
        ours = student.hidden[self.pair.student].flatten(1)
        theirs = teacher.hidden[self.pair.teacher].flatten(1)
        return self.relation_loss(ours, theirs)


class DistanceTerm(RelationTerm):
    """`rkd_distance_loss`."""

    def relation_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss between (N, d) features."""
        return rkd_distance_loss(student, teacher, self.reduction)


class AngleTerm(RelationTerm):
    """`rkd_angle_loss`."""

    def relation_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss between (N, d) features."""
        return rkd_angle_loss(student, teacher, self.reduction)
