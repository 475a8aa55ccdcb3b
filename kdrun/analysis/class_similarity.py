"""Class similarities in a model's probabilities."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdrun.analysis.inputs import class_indices, class_probabilities

MOST_CLASSES = 5_000
"""Most classes K of a whole (K, K) table, which then takes 200 MB."""


@dataclass(frozen=True)
class Confusion:
    """Mean probability of another class on the samples of class `label`."""

    label: int
    other: int
    probability: float


@dataclass(frozen=True)
class SimilarityRows:
    """The rows of a class similarity that have samples: no more than samples, for any K.

    Attributes:
        classes: (P,) class of each row, ascending.
        means: (P, K) float64 mean probabilities over the samples of the class.
        row: (N,) place in `classes` of each sample's class.
    """

    classes: Tensor
    means: Tensor
    row: Tensor

    def others(self) -> Tensor:
        """The (P, K) means, with 0 for the class itself."""
        return _others(self.means, self.classes)

    def information(self) -> Tensor:
        """The (P,) nats of `class_similarity_information`."""
        return _information(self.others())

    def confusions(self, count: int = 10) -> tuple[Confusion, ...]:
        """The largest non-zero means of another class, largest first."""
        return _largest(self.others(), self.classes, count)

    def table(self, shown: Sequence[int]) -> Tensor:
        """The (k, k) similarities between some classes; 0 in rows without samples."""
        return spread(self.means[:, list(shown)], self.classes, self.means.shape[1])[list(shown)]


def spread(values: Tensor, places: Tensor, size: int) -> Tensor:
    """Return (size, ...) values of which all but those at the (P,) places are 0."""
    return values.new_zeros(size, *values.shape[1:]).index_copy_(0, places, values)


def similarity_rows(probs: Tensor, labels: Tensor) -> SimilarityRows:
    """Return `class_similarity` without the rows of classes without samples, for any K.

    (N, K) probabilities, (N,) class indices.
    """
    rows = class_probabilities("probs", probs)
    return mean_by_class(rows, class_indices(labels, rows))


def mean_by_class(rows: Tensor, labels: Tensor) -> SimilarityRows:
    """`similarity_rows` of checked (N, K) rows and (N,) labels."""
    classes, row, counts = labels.unique(return_inverse=True, return_counts=True)
    sums = rows.new_zeros(len(classes), rows.shape[1]).index_add_(0, row, rows)
    return SimilarityRows(classes, sums / counts[:, None], row)


def class_similarity(probs: Tensor, labels: Tensor) -> Tensor:
    """Return (K, K) float64: row c is the mean (N, K) probabilities over samples of class c.

    The row of a class without samples is 0. ValueError for more than `MOST_CLASSES` classes.
    """
    found = similarity_rows(probs, labels)
    classes = found.means.shape[1]
    if classes > MOST_CLASSES:
        raise ValueError(
            f"a similarity table of {classes} classes takes {8 * classes**2 / 1e9:.1f} GB, allowed "
            f"are {MOST_CLASSES} classes; similarity_rows has the rows of the classes with samples"
        )
    return spread(found.means, found.classes, classes)


def class_similarity_information(similarity: Tensor) -> Tensor:
    """Return (K,) nats: log(K-1) minus the entropy of each row over the other classes.

    Ranges from 0, for a class confused with all others equally or with none, to log(K-1), for a
    class confused with one only.
    """
    return _information(_others(similarity, torch.arange(len(similarity))))


def top_confusions(similarity: Tensor, count: int = 10) -> tuple[Confusion, ...]:
    """The largest non-zero off-diagonal entries of a (K, K) similarity, largest first."""
    classes = torch.arange(len(similarity))
    return _largest(_others(similarity, classes), classes, count)


def _others(means: Tensor, classes: Tensor) -> Tensor:
    """Copy the (P, K) means, with 0 for each row's own of the (P,) classes."""
    return means.scatter(1, classes[:, None], 0.0)


def _information(others: Tensor) -> Tensor:
    mass = others.sum(dim=1, keepdim=True)
    nats = torch.special.entr(others / mass.where(mass > 0, 1.0)).sum(dim=1)
    information = (math.log(others.shape[1] - 1) - nats).clamp_min(0.0)
    return information.where(mass.squeeze(1) > 0, 0.0)


def _largest(others: Tensor, classes: Tensor, count: int) -> tuple[Confusion, ...]:
    """The largest non-zero entries; of equal ones the first."""
    flat = others.flatten()
    # Sorting the whole table would take three times its memory.
    least = flat.topk(min(count, len(flat))).values[-1] if count else flat.new_tensor(math.inf)
    above, equal = (flat > least).nonzero().flatten(), (flat == least).nonzero().flatten()
    places = torch.cat([above, equal[: max(0, count - len(above))]])
    values, order = flat[places].sort(descending=True, stable=True)
    return tuple(
        Confusion(int(classes[place // others.shape[1]]), place % others.shape[1], probability)
        for probability, place in zip(values.tolist(), places[order].tolist(), strict=True)
        if probability > 0
    )
