"""What an epoch is judged by: the validation split, on which the best weights are chosen."""

from typing import Any

from kdrun.data.views import Normalizer
from kdrun.engine import Training
from kdrun.job import Job, Setting, measure
from kdrun.saving import Saver


def validate(
    job: Job, setting: Setting, training: Training, normalizer: Normalizer, saver: Saver
) -> dict[str, float | None]:
    """Evaluate on the validation split and keep the weights if they are the best so far.

    Without a validation split nothing can be chosen, and the newest weights are kept.
    """
    split, model = setting.data.validation, training.evaluated
    epoch = training.epoch + 1
    accuracy = loss = None
    if split is not None:
        result = measure(job, setting, model, normalizer, split)
        accuracy, loss = result.accuracy, result.loss
    if better(training.best, accuracy, loss):
        saver.keep_best(model, training.update)
        training.best = {"epoch": epoch, "update": training.update}
        training.best |= {"validation": accuracy, "validation_loss": loss}
    return {"validation_accuracy": accuracy, "validation_loss": loss}


def better(best: dict[str, Any] | None, accuracy: float | None, loss: float | None) -> bool:
    """Whether an epoch beats the best so far: by accuracy, and by loss where that is equal."""
    if best is None or accuracy is None or loss is None:
        return True
    # On a small validation split many epochs tie, and the first of them is rarely the best.
    return (accuracy, -loss) > (best["validation"], -best["validation_loss"])
