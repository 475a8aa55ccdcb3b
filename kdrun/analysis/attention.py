"""Measures of attention maps: information about the image, and distance of two models."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kdrun.analysis.entropy import kl_divergence, total_variation
from kdrun.analysis.inputs import probability_rows


@dataclass(frozen=True)
class AttentionComparison:
    """I(J; X | i) of one layer in student and teacher, with a bound on their gap."""

    student: float
    teacher: float
    gap: float
    """|student - teacher|, nats."""
    mean_tv: float
    """Mean total variation distance of the rows."""
    bound: float
    """2 (δ log(L-1) + h_b(δ)), δ = min(mean_tv, 1 - 1/L): at least the gap."""


def attention_information(maps: Tensor) -> float:
    """I(J; X | i) in nats: information of the attended position J about the image X, given query i.

    The entropy of the mean row over images minus the mean entropy of the rows, averaged over
    queries and heads of (N, heads, L, L) or (N, L, L) maps.
    """
    return _information(_checked("maps", maps))


def compare_attention(student_maps: Tensor, teacher_maps: Tensor) -> AttentionComparison:
    """Information and distance of one layer's maps for the same N images and L tokens.

    Heads are averaged on both sides if their numbers differ.
    """
    student = _checked("student_maps", student_maps)
    teacher = _checked("teacher_maps", teacher_maps)
    if student.ndim == teacher.ndim == 4 and student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(dim=1), teacher.mean(dim=1)
    if student.shape != teacher.shape:
        raise ValueError(
            f"attention maps must have the same images and tokens, got "
            f"{tuple(student_maps.shape)} and {tuple(teacher_maps.shape)}"
        )
    ours, theirs = _information(student), _information(teacher)
    mean_tv = total_variation(student, teacher).mean().item()
    return AttentionComparison(
        ours, theirs, abs(ours - theirs), mean_tv, _information_bound(mean_tv, student.shape[-1])
    )


def _checked(name: str, maps: Tensor) -> Tensor:
    if maps.ndim not in (3, 4) or maps.shape[-1] != maps.shape[-2]:
        raise ValueError(
            f"{name} must be (N, heads, L, L) or (N, L, L), got shape {tuple(maps.shape)}"
        )
    return probability_rows(name, maps)


def _information(maps: Tensor) -> float:
    # The mean divergence from the mean row is H(mean) - mean H, without cancellation.
    return kl_divergence(maps, maps.mean(dim=0)).mean().item()


def _information_bound(mean_tv: float, tokens: int) -> float:
    """Twice the largest entropy difference over L outcomes at this distance (Audenaert, 2007)."""
    delta = min(mean_tv, 1 - 1 / tokens)
    binary = torch.tensor([delta, 1 - delta], dtype=torch.float64)
    return 2 * (delta * math.log(max(1, tokens - 1)) + torch.special.entr(binary).sum().item())
