"""Correctly classified images of each compared model, from its predictions."""

from collections.abc import Iterable

import numpy as np

from kdrun.evaluation.predictions import REPORTED, Predictions
from kdrun.evaluation.run_predictions import RunPredictions
from kdrun.store.correct_images import Correct


def right_images(
    run: RunPredictions, places: Iterable[int], keep: bool
) -> dict[int, dict[str, Correct]]:
    """Correct validation and test images by place and split.

    Args:
        run: the run's models with their predictions.
        places: of the stages that are compared.
        keep: whether to keep the predictions for later use.

    Raises:
        DamagedError: a stage is damaged.
        Stopped: a signal requested it.
    """
    found = {}
    for place in places:
        answers = run.of(place)
        found[place] = {split: packed(answers[split]) for split in REPORTED if split in answers}
        if not keep:
            run.asked.clear()
    return found


def packed(answers: Predictions) -> Correct:
    """Pack the correct images as one bit each."""
    assert answers.right is not None
    right = np.packbits(answers.right.numpy()).tobytes()
    return Correct(len(answers.right), answers.source, right)
