"""Class order: whether a model's outputs stand for other classes than the labels."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

ASSIGNED = 2_000
"""Classes up to which a permutation is sought; of more, each class's commonest answer is taken."""

LEAST_GAIN, LEAST_ERRORS, LEAST_RIGHT = 0.2, 3.0, 0.5


@dataclass(frozen=True)
class Relabelling:
    """Another order of the outputs, and what it gives on images that it was not found on.

    Attributes:
        outputs: (class, the output that answers for it) of every class that moves.
        accuracy: as the outputs stand, as a fraction.
        relabelled: with each class's other output.
    """

    outputs: tuple[tuple[int, int], ...]
    accuracy: float
    relabelled: float


def find_relabelling(decided: Tensor, labels: Tensor, classes: int) -> Relabelling | None:
    """A clearly better order of the outputs, or None.

    Found on every other image and judged on the rest, so that chance fits none. It is clear where
    the images of the classes that move gain at least 20 points, and 3 standard errors, and at least
    half of them are then right: the outputs of an untrained model fit some order better, too.

    Args:
        decided: (N,) outputs that the model chose.
        labels: (N,) classes.
        classes: how many there are.
    """
    decided, labels = decided.cpu(), labels.cpu()
    outputs = _best_outputs(decided[::2], labels[::2], classes)
    decided, labels = decided[1::2], labels[1::2]
    before, after = decided == labels, decided == outputs[labels]
    moved = outputs[labels] != labels
    better, worse = int((after & ~before).sum()), int((before & ~after).sum())
    gain, count, right = better - worse, int(moved.sum()), int((after & moved).sum())
    # The standard error of a count of pairs that differ, as in McNemar's test.
    enough = gain >= LEAST_GAIN * count and right >= LEAST_RIGHT * count
    if count == 0 or not enough or gain < LEAST_ERRORS * (better + worse) ** 0.5:
        return None
    pairs = enumerate(outputs.tolist())
    return Relabelling(
        tuple((label, output) for label, output in pairs if label != output),
        before.double().mean().item(),
        after.double().mean().item(),
    )


def _best_outputs(decided: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(K,) the output that answers best for each class; of a class without images its own."""
    if classes > ASSIGNED:
        return _commonest_outputs(decided, labels, classes)
    counts = torch.bincount(labels * classes + decided, minlength=classes * classes)
    # Of equally good orders, the one that moves the fewest classes.
    table = counts.view(classes, classes).double() + 0.5 * torch.eye(classes, dtype=torch.float64)
    return torch.from_numpy(linear_sum_assignment(table.numpy(), maximize=True)[1])


def _commonest_outputs(decided: Tensor, labels: Tensor, classes: int) -> Tensor:
    pairs, counts = torch.unique(labels * classes + decided, return_counts=True)
    best = torch.arange(classes)
    order = counts.argsort(stable=True)  # the commonest last, which overwrites the others
    for pair in pairs[order].tolist():
        best[pair // classes] = pair % classes
    return best
