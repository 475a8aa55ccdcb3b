"""Class similarities in a model's probabilities."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kdrun.analysis.inputs import class_indices, class_probabilities


@dataclass(frozen=True)
class Confusion:
    """Mean probability of another class on the samples of class `label`."""

    label: int
    other: int
    probability: float


def class_similarity(probs: Tensor, labels: Tensor) -> Tensor:
    """Return (K, K) float64: row c is the mean (N, K) probabilities over samples of class c.

    The row of a class without samples is 0.
    """
    rows = class_probabilities("probs", probs)
    return mean_by_class(rows, class_indices(labels, rows))


def mean_by_class(rows: Tensor, labels: Tensor) -> Tensor:
    """`class_similarity` of checked (N, K) rows and (N,) labels."""
    classes = rows.shape[1]
    sums = rows.new_zeros(classes, classes).index_add_(0, labels, rows)
    return sums / labels.bincount(minlength=classes).clamp_min(1)[:, None]


def class_similarity_information(similarity: Tensor) -> Tensor:
    """Return (K,) nats: log(K-1) minus the entropy of each row over the other classes.

    Ranges from 0, for a class confused with all others equally or with none, to log(K-1), for a
    class confused with one only.
    """
    others = similarity.clone().fill_diagonal_(0.0)
    mass = others.sum(dim=1, keepdim=True)
    nats = torch.special.entr(others / mass.where(mass > 0, 1.0)).sum(dim=1)
    information = (math.log(len(similarity) - 1) - nats).clamp_min(0.0)
    return information.where(mass.squeeze(1) > 0, 0.0)


def top_confusions(similarity: Tensor, count: int = 10) -> tuple[Confusion, ...]:
    """The largest non-zero off-diagonal entries of a (K, K) similarity, largest first."""
    others = similarity.clone().fill_diagonal_(0.0).flatten()
    largest, places = others.sort(descending=True, stable=True)
    kept = zip(largest[:count].tolist(), places[:count].tolist(), strict=True)
    return tuple(
        Confusion(place // len(similarity), place % len(similarity), probability)
        for probability, place in kept
        if probability > 0
    )
