"""The minimum accuracy of a teacher."""

import math

from torch import Tensor

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
