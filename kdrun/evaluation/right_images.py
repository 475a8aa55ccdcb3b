"""The images that each compared model of a run decides rightly, from its predictions."""

from collections.abc import Iterable

import numpy as np

from kdrun.evaluation.predictions import REPORTED, Predictions
from kdrun.evaluation.run_predictions import RunPredictions
from kdrun.store.correct_images import Correct


def right_images(
    run: RunPredictions, places: Iterable[int], keep: bool
) -> dict[int, dict[str, Correct]]:
    """By place and split, which images of validation and test a model decides rightly.

    Args:
        run: the run's models with their predictions.
        places: of the stages that are compared.
        keep: whether the predictions are read again; else their logits are dropped.

    Raises:
        DamagedError: a stage is not as it was written.
        Stopped: a signal asked for it.
    """
    found = {}
    for place in places:
        answers = run.of(place)
        found[place] = {split: packed(answers[split]) for split in REPORTED if split in answers}
        if not keep:
            run.asked.clear()
    return found


def packed(answers: Predictions) -> Correct:
    """A bit an image."""
    assert answers.right is not None
    right = np.packbits(answers.right.numpy()).tobytes()
    return Correct(len(answers.right), answers.source, right)
