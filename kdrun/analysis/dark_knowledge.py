"""Dark knowledge: the information of soft targets beyond the label, I(X; Ŷ | Y), Ŷ ~ p_T."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.analysis.class_similarity import Confusion, mean_by_class
from kdrun.analysis.entropy import kl_divergence
from kdrun.analysis.inputs import (
    checked_temperatures,
    class_indices,
    class_probabilities,
    finite_table,
)
from kdrun.losses.temperature import softmax_with_temperature

FEW_SAMPLES = 20


@dataclass(frozen=True)
class DarkKnowledge:
    """I(X; Ŷ | Y) in nats, between two estimates, with the class similarities."""

    lower: float
    """The plug-in estimate, biased low."""
    upper: float
    """The leave-one-out estimate, biased high; inf for disjoint supports."""
    max: float
    """H(Ŷ | Y), the maximum."""
    similarity: float
    """log(K-1) minus the entropy of the mean non-target distribution, averaged over samples."""
    confusions: tuple[Confusion, ...]
    """The most confused classes, largest first."""


@dataclass(frozen=True)
class DarkKnowledgeCurve:
    """`lower`, `upper` and `max` of the dark knowledge at each temperature."""

    temperatures: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    max: tuple[float, ...]


def dark_knowledge(probs: Tensor, labels: Tensor, split: str = "") -> DarkKnowledge:
    """Bracket I(X; Ŷ | Y) from (N, K) teacher probabilities and (N,) class indices.

    Warns about classes with one sample, which do not count in `upper`, or with fewer than 20;
    `split` is the name of the samples in the warnings.
    """
    rows = class_probabilities("probs", probs)
    indices = class_indices(labels, rows)
    _warn_of_few(indices, split)
    similarity = mean_by_class(rows, indices)
    information = similarity.information()[similarity.row].mean().item()
    return DarkKnowledge(*_bracket(rows, indices), information, similarity.confusions())


def dark_knowledge_curve(
    logits: Tensor, labels: Tensor, temperatures: Iterable[float]
) -> DarkKnowledgeCurve:
    """Bracket the dark knowledge of (N, K) teacher logits at each T in (0, 1000] or inf."""
    values, grid = finite_table("logits", logits), checked_temperatures(temperatures)
    indices = class_indices(labels, values)
    _warn_of_few(indices)
    brackets = [_bracket(softmax_with_temperature(values, T), indices) for T in grid]
    lower, upper, most = zip(*brackets, strict=True)
    return DarkKnowledgeCurve(grid, lower, upper, most)


def _bracket(rows: Tensor, labels: Tensor) -> tuple[float, float, float]:
    """Lower, upper and max, each class weighted by its share of the samples."""
    estimates = []
    for label in labels.unique().tolist():
        members = rows[labels == label]
        estimates.append(len(members) / len(rows) * _class_bracket(members))
    lower, upper, most = torch.stack(estimates).sum(dim=0).tolist()
    return lower, upper, most


def _class_bracket(members: Tensor) -> Tensor:
    """The (3,) lower, upper and max of the (n, K) distributions of one class."""
    mean = members.mean(dim=0)
    # The mean divergence from the mean is H(mean) - mean H, without cancellation.
    lower = kl_divergence(members, mean).mean()
    upper = torch.zeros_like(lower)
    if len(members) > 1:
        upper = kl_divergence(members, _mean_of_the_others(members)).mean()
    return torch.stack([lower, upper, torch.special.entr(mean).sum()])


def _mean_of_the_others(members: Tensor) -> Tensor:
    """Return (n, K): for each row the mean of all others, n > 1."""
    # Prefix plus suffix sums. The total minus the row itself would lose values of 1e-20 next to a
    # row near 1, and turn a finite divergence into inf.
    before = F.pad(members.cumsum(dim=0)[:-1], (0, 0, 1, 0))
    after = F.pad(members.flip(0).cumsum(dim=0)[:-1], (0, 0, 1, 0)).flip(0)
    return (before + after) / (len(members) - 1)


def _warn_of_few(labels: Tensor, split: str = "") -> None:
    kind = f"{split} sample" if split else "sample"
    counts = labels.bincount().tolist()
    single = [label for label, count in enumerate(counts) if count == 1]
    few = [label for label, count in enumerate(counts) if 0 < count < FEW_SAMPLES]
    if single:
        warnings.warn(
            f"one {kind} is too few for the upper estimate of the dark knowledge: {_named(single)}",
            stacklevel=3,
        )
    if few:
        warnings.warn(
            f"fewer than {FEW_SAMPLES} {kind}s, so the bracket of the dark knowledge is loose: "
            f"{_named(few)}",
            stacklevel=3,
        )


def _named(classes: Sequence[int], most: int = 10) -> str:
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return f"class{'es' if len(classes) > 1 else ''} {', '.join(map(str, classes[:most]))}{more}"
