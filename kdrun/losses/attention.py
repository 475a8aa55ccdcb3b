"""Attention losses: maps of transformers, and activation-based maps of CNNs."""

from collections.abc import Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.losses.alignment import Pair, match_spatial
from kdrun.losses.inputs import check_probabilities, check_reduction, full_precision, paired
from kdrun.losses.term import (
    LossTerm,
    Models,
    Outputs,
    StepContext,
    aligned_states,
    total,
)


def attention_map(query: Tensor, key: Tensor) -> Tensor:
    """softmax(query keyᵀ / sqrt(d)), (..., L, L), for (..., L, d) of head width d."""
    if query.shape != key.shape or query.ndim < 2:
        raise ValueError(
            "query and key must be (..., L, d) of the same shape, got "
            f"{tuple(query.shape)} and {tuple(key.shape)}"
        )
    query, key = full_precision(query, key)
    with torch.autocast(query.device.type, enabled=False):
        scores = query @ key.transpose(-2, -1)
    return F.softmax(scores / query.shape[-1] ** 0.5, dim=-1)


def attention_map_loss(
    student_map: Tensor, teacher_map: Tensor, reduction: str = "mean", kind: str = "mse"
) -> Tensor:
    """Difference of (N, heads, L, L) or (N, L, L) attention maps; rows sum to 1.

    Args:
        student_map: heads are averaged on both sides if their numbers differ.
        teacher_map: with the same number of tokens L; ValueError otherwise.
        reduction: "mean" over the entries of "mse" and the rows of "kl", or "sum".
        kind: "mse", the squared difference, or "kl", KL(teacher's row || student's row).
    """
    check_reduction(reduction, ("mean", "sum"))
    if kind not in ("mse", "kl"):
        raise ValueError(f"unknown kind of attention loss '{kind}' (known: mse, kl)")
    if student_map.ndim == teacher_map.ndim == 4 and student_map.shape[1] != teacher_map.shape[1]:
        student_map = full_precision(student_map)[0].mean(dim=1)
        teacher_map = full_precision(teacher_map)[0].mean(dim=1)
    student, teacher = paired(student_map, teacher_map)
    check_probabilities("student_map", student)
    check_probabilities("teacher_map", teacher)
    if kind == "mse":
        return F.mse_loss(student, teacher, reduction=reduction)
    # A weight that underflowed to 0 would make the divergence infinite.
    log_student = student.clamp_min(torch.finfo(student.dtype).tiny).log()
    total = F.kl_div(log_student, teacher, reduction="sum")
    rows = student.numel() // student.shape[-1]
    return total / rows if reduction == "mean" else total


def activation_attention_loss(
    student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]
) -> Tensor:
    """Attention transfer between lists of (N, C, H, W) maps (Zagoruyko & Komodakis, 2017).

    A map is the mean square over the channels, normalised to a unit vector over the positions; the
    loss is the mean squared difference over samples and positions, summed over layers. Sizes are
    matched by average pooling.
    """
    if isinstance(student_maps, Tensor) or isinstance(teacher_maps, Tensor):
        raise ValueError("attention transfer takes lists of maps, one per layer, got a tensor")
    if len(student_maps) != len(teacher_maps) or not student_maps:
        raise ValueError(
            "attention transfer needs the same number of student and teacher layers, at least one, "
            f"got {len(student_maps)} and {len(teacher_maps)}"
        )
    losses = []
    for student_map, teacher_map in zip(student_maps, teacher_maps, strict=True):
        student, teacher = match_spatial(*full_precision(student_map, teacher_map.detach()))
        losses.append(F.mse_loss(*paired(_positions(student), _positions(teacher))))
    return total(losses)


def _positions(feature_map: Tensor) -> Tensor:
    """The mean square over the channels, as (N, H*W) unit vectors."""
    return F.normalize(feature_map.square().mean(dim=1).flatten(1), dim=1)


class AttentionTerm(LossTerm):
    """Builder of the attention term: attention maps if both models have them."""

    @classmethod
    def build(cls, options: SimpleNamespace, models: Models) -> LossTerm:
        """Build the term between attention maps, or else between feature maps."""
        kind = options.kind
        if kind == "auto":
            kind = "mse" if models.have_attention() else "activation"
        if kind == "activation":
            return ActivationAttentionTerm(models.pairs("layers", options.layers))
        why = f"loss.attention.kind={kind}"
        return AttentionMapTerm(models.attention_pairs("layers", options.layers, why), kind)


class ActivationAttentionTerm(LossTerm):
    """`activation_attention_loss` between feature maps (Zagoruyko and Komodakis, 2017)."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self.pairs = list(pairs)

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch."""
        ours, theirs = zip(*aligned_states(self.pairs, student, teacher), strict=True)
        return activation_attention_loss(ours, theirs)


class AttentionMapTerm(LossTerm):
    """`attention_map_loss` of transformers, summed over the pairs; `kind` mse or kl."""

    def __init__(self, pairs: Sequence[Pair], kind: str) -> None:
        super().__init__()
        self.pairs = list(pairs)
        self.kind = kind

    def forward(
        self, student: Outputs, teacher: Outputs, labels: Tensor, context: StepContext
    ) -> Tensor:
        """The loss of a batch."""
        return total(
            attention_map_loss(
                student.attention[pair.student], teacher.attention[pair.teacher], kind=self.kind
            )
            for pair in self.pairs
        )
