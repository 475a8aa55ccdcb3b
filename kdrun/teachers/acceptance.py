"""Acceptance of a teacher: minimum accuracy, order of its classes, certainty of its outputs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from kdrun.analysis.certainty import doubts
from kdrun.errors import WeightsError


def least_accuracy(labels: Tensor) -> float:
    """An accuracy clearly above chance: share of the commonest label + three standard errors."""
    chance = labels.bincount().max().item() / len(labels)
    return min(1.0, chance + 3 * math.sqrt(chance * (1 - chance) / len(labels)))


def check_accuracy(name: str, accuracy: float, least: float, images: str, given: bool) -> None:
    """Refuse a teacher of low accuracy.

    Args:
        name: of its architecture.
        accuracy: as a fraction.
        least: minimum accuracy.
        images: name of the split evaluated.
        given: whether its weights were given, not trained in this run.

    Raises:
        WeightsError: the accuracy is below `least`.
    """
    if accuracy < least:
        why = "too little training, or wrong labels? Train it longer (train.epochs)"
        if given:
            why = "do its weights expect other classes, another normalisation or size? Use others"
        raise WeightsError(
            f"teacher {name} has only {accuracy:.2%} {images} accuracy, below {least:.2%}: {why}, "
            "or set teacher.min_accuracy=0 to use it anyway"
        )


def check_class_order(
    name: str, order: Mapping[str, Any] | None, class_names: Sequence[str]
) -> None:
    """Refuse given weights with another order of classes.

    Args:
        name: of its architecture.
        order: the better order in the stage's summary; None if there is none.
        class_names: of the data set.

    Raises:
        WeightsError: another order is better; names its first entries.
    """
    if order is None:
        return
    named = ", ".join(
        f"output {output} is class {label} '{class_names[label]}'"
        for label, output in order["outputs"]
    )
    more = ", ..." if order["moved"] > len(order["outputs"]) else ""
    raise WeightsError(
        f"teacher {name} has {order['accuracy']:.2%} training accuracy, but "
        f"{order['relabelled']:.2%} with its classes in another order ({named}{more}): reorder the "
        "rows of its last layer to match the data set, or rename the class folders to sort in the "
        "teacher's order"
    )


def certainty_warnings(title: str, measures: Mapping[str, Any] | None, given: bool) -> list[str]:
    """Warnings for teacher outputs with little information for the student.

    Args:
        title: of its stage.
        measures: certainty of its outputs; None if not measured.
        given: whether its weights were given, not trained in this run.
    """
    remedy = (
        "check that the input is normalised as in its training (teacher.normalization)"
        if given
        else "train it longer (train.epochs, or a smaller train.batch_size for more updates), or "
        "with a lower train.lr if it was too high"
    )
    return [] if measures is None else [f"{title} {doubt}; {remedy}" for doubt in doubts(measures)]
