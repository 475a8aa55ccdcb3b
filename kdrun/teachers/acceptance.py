"""Acceptance of a teacher: minimum accuracy, order of its classes, certainty of its outputs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from kdrun.analysis.certainty import doubts
from kdrun.errors import WeightsError


def least_accuracy(labels: Tensor) -> float:
    """The accuracy clearly above chance: the commonest label's share plus three standard errors."""
    chance = labels.bincount().max().item() / len(labels)
    return min(1.0, chance + 3 * math.sqrt(chance * (1 - chance) / len(labels)))


def check_accuracy(name: str, accuracy: float, least: float, images: str, given: bool) -> None:
    """Refuse a teacher that has little to teach.

    Args:
        name: of its architecture.
        accuracy: as a fraction.
        least: what it must reach.
        images: which it was measured on.
        given: whether its weights are, and were not trained here.

    Raises:
        WeightsError: the accuracy is below `least`.
    """
    if accuracy < least:
        why = "too little training, or wrong labels? Train it longer (train.epochs)"
        if given:
            why = "are its weights of other classes, another normalisation or size? Give others"
        raise WeightsError(
            f"teacher {name} is right on only {accuracy:.2%} of the {images} images, below "
            f"{least:.2%}: {why}, or set teacher.min_accuracy=0 to use it all the same"
        )


def check_class_order(
    name: str, order: Mapping[str, Any] | None, class_names: Sequence[str]
) -> None:
    """Refuse given weights whose outputs stand for the classes in another order.

    Args:
        name: of its architecture.
        order: as the stage's summary tells it; None where there is no better one.
        class_names: of the data set.

    Raises:
        WeightsError: there is a better order; names its first entries.
    """
    if order is None:
        return
    named = ", ".join(
        f"output {output} is class {label} '{class_names[label]}'"
        for label, output in order["outputs"]
    )
    more = ", ..." if order["moved"] > len(order["outputs"]) else ""
    raise WeightsError(
        f"teacher {name} is right on {order['accuracy']:.2%} of the training images, and on "
        f"{order['relabelled']:.2%} with its classes in another order ({named}{more}): bring the "
        "rows of its last layer into the order of the data set, or name the class folders so that "
        "they sort as the teacher's classes do"
    )


def certainty_warnings(title: str, measures: Mapping[str, Any] | None, given: bool) -> list[str]:
    """A line for each way in which a teacher's outputs leave little to learn.

    Args:
        title: of its stage.
        measures: its certainty; None where it was not measured.
        given: whether its weights are, and were not trained here.
    """
    remedy = (
        "see that its weights get the input they were trained with (teacher.normalization)"
        if given
        else "train it longer (train.epochs, or a smaller train.batch_size for more updates), or "
        "at a lower train.lr where it was too high"
    )
    return [] if measures is None else [f"{title} {told}; {remedy}" for told in doubts(measures)]
