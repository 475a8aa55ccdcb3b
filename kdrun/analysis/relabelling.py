"""Detection of a different class order in a model's outputs."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

ASSIGNED = 2_000
"""Most classes for a search of permutations; beyond, each class's commonest output is used."""

LEAST_GAIN, LEAST_ERRORS, LEAST_RIGHT = 0.2, 3.0, 0.5


@dataclass(frozen=True)
class Relabelling:
    """A better order of the outputs, and its accuracy on held-out images.

    Attributes:
        outputs: (class, output) of every class that moves.
        accuracy: in the present order, as a fraction.
        relabelled: accuracy in the better order.
    """

    outputs: tuple[tuple[int, int], ...]
    accuracy: float
    relabelled: float


def find_relabelling(decided: Tensor, labels: Tensor, classes: int) -> Relabelling | None:
    """Find a clearly better order of the outputs; None without one.

    The order is fitted on every other image and tested on the rest, against overfitting. Clearly
    better means that the images of the moved classes gain at least 20 points and 3 standard errors,
    and at least half of them become correct, because even an untrained model fits some order
    better.

    Args:
        decided: (N,) predicted outputs.
        labels: (N,) classes.
        classes: their number.
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
    """The (K,) best output for each class; its own for a class without images."""
    if classes > ASSIGNED:
        return _commonest_outputs(decided, labels, classes)
    counts = torch.bincount(labels * classes + decided, minlength=classes * classes)
    # Of equally good orders, the one that moves the fewest classes.
    table = counts.view(classes, classes).double() + 0.5 * torch.eye(classes, dtype=torch.float64)
    return torch.from_numpy(linear_sum_assignment(table.numpy(), maximize=True)[1])


def _commonest_outputs(decided: Tensor, labels: Tensor, classes: int) -> Tensor:
    pairs, counts = torch.unique(labels * classes + decided, return_counts=True)
    best = torch.arange(classes)
    order = counts.argsort(stable=True)  # the commonest last, so it overwrites the others
    for pair in pairs[order].tolist():
        best[pair // classes] = pair % classes
    return best
