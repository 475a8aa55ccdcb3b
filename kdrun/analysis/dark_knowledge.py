"""Dark knowledge: what soft targets say beyond the label, I(X; Ŷ | Y), Ŷ ~ p_T."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.analysis.class_similarity import (
    Confusion,
    class_similarity_information,
    mean_by_class,
    top_confusions,
)
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
    """I(X; Ŷ | Y) in nats, between two estimates, and the similarities of the classes."""

    lower: float
    """The plug-in estimate, biased low."""
    upper: float
    """The leave-one-out estimate, biased high; inf where supports are disjoint."""
    max: float
    """H(Ŷ | Y), which it could reach at most."""
    similarity: float
    """log(K-1) - the entropy of the mean non-target distribution, mean over the samples."""
    confusions: tuple[Confusion, ...]
    """The classes most taken for others, largest first."""


@dataclass(frozen=True)
class DarkKnowledgeCurve:
    """`lower`, `upper` and `max` of the dark knowledge at each temperature."""

    temperatures: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    max: tuple[float, ...]


def dark_knowledge(probs: Tensor, labels: Tensor) -> DarkKnowledge:
    """The bracket of I(X; Ŷ | Y) from (N, K) teacher probabilities and (N,) class indices.

    Warns of classes with one sample, which add nothing to `upper`, and of those below 20.
    """
    rows = class_probabilities("probs", probs)
    indices = class_indices(labels, rows)
    _warn_of_few(indices)
    similarity = mean_by_class(rows, indices)
    information = class_similarity_information(similarity)[indices].mean().item()
    return DarkKnowledge(*_bracket(rows, indices), information, top_confusions(similarity))


def dark_knowledge_curve(
    logits: Tensor, labels: Tensor, temperatures: Iterable[float]
) -> DarkKnowledgeCurve:
    """The bracket of `dark_knowledge` of (N, K) teacher logits at each T in (0, 1000] or inf."""
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
    """(3,) lower, upper and max of the (n, K) distributions of one class."""
    mean = members.mean(dim=0)
    # The mean divergence from the mean is H(mean) - mean H, without cancellation.
    lower = kl_divergence(members, mean).mean()
    upper = torch.zeros_like(lower)
    if len(members) > 1:
        upper = kl_divergence(members, _mean_of_the_others(members)).mean()
    return torch.stack([lower, upper, torch.special.entr(mean).sum()])


def _mean_of_the_others(members: Tensor) -> Tensor:
    """(n, K): for each row the mean of all others, n > 1."""
    # Sums of those before and those after. The sum of all less the row itself would lose others
    # of 1e-20 beside a row near 1, and turn a finite divergence into inf.
    before = F.pad(members.cumsum(dim=0)[:-1], (0, 0, 1, 0))
    after = F.pad(members.flip(0).cumsum(dim=0)[:-1], (0, 0, 1, 0)).flip(0)
    return (before + after) / (len(members) - 1)


def _warn_of_few(labels: Tensor) -> None:
    counts = labels.bincount().tolist()
    single = [label for label, count in enumerate(counts) if count == 1]
    few = [label for label, count in enumerate(counts) if 0 < count < FEW_SAMPLES]
    if single:
        warnings.warn(
            f"one sample only, which adds nothing to the upper estimate of the dark knowledge: "
            f"{_named(single)}",
            stacklevel=3,
        )
    if few:
        warnings.warn(
            f"fewer than {FEW_SAMPLES} samples, so that the dark knowledge is bracketed loosely: "
            f"{_named(few)}",
            stacklevel=3,
        )


def _named(classes: Sequence[int], most: int = 10) -> str:
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return f"class{'es' if len(classes) > 1 else ''} {', '.join(map(str, classes[:most]))}{more}"
