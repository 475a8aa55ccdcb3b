"""Accuracy and loss of a model over a split, and validation after an epoch."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.data.batch import Batch, Split
from kdrun.data.normalizer import Normalizer
from kdrun.errors import DataError, NumericError, Stopped
from kdrun.training.checkpoint_writer import CheckpointWriter
from kdrun.training.context import RunContext, StageRun
from kdrun.training.meters import CORRECT, LOGITS, TOTAL, EpochMeters
from kdrun.training.state import TrainState


@dataclass(frozen=True)
class Evaluation:
    """Accuracy (a fraction) and mean cross-entropy over a split."""

    accuracy: float
    loss: float


@torch.inference_mode()
def evaluate(
    predict: Callable[[Batch], Tensor], batches: Iterable[Batch], device: torch.device
) -> Evaluation:
    """Return accuracy and cross-entropy over all batches; synchronises once, at the end.

    Raises:
        NumericError: a logit is not finite.
    """
    totals = EpochMeters((), device, checks=(LOGITS,))
    for batch in batches:
        logits = predict(batch).float()
        loss = nn.functional.cross_entropy(logits, batch.labels)
        totals.add(loss, {}, logits, batch.labels, (logits,))
    means = totals.means(totals.sums.tolist())
    return Evaluation(accuracy=means[CORRECT], loss=means[TOTAL])


def measure(
    stage_run: StageRun,
    context: RunContext,
    network: nn.Module,
    normalizer: Normalizer,
    split: Split,
) -> Evaluation:
    """Return accuracy and loss of the network over a split.

    Raises:
        NumericError: a logit is not finite.
        Stopped: a stop was requested by a signal.
    """
    batches = unless_stopped(
        stage_run, context, split.batches(stage_run.stage.train.eval_batch_size)
    )
    try:
        return evaluate(predictor(network, normalizer, context), batches, context.device)
    except NumericError as error:
        raise NumericError(f"{stage_run.title}: {error} on images it is evaluated on") from error


def unless_stopped(
    stage_run: StageRun, context: RunContext, batches: Iterable[Batch]
) -> Iterator[Batch]:
    """Yield the batches until a stop is requested.

    Raises:
        Stopped: a stop was requested; the signal may also have ended the decoding processes.
    """
    message = f"stopped while {stage_run.title} was evaluated"
    try:
        for batch in batches:
            if context.stop:
                raise Stopped(message)
            yield batch
    except DataError as error:
        if context.stop.asked:
            raise Stopped(message) from error
        raise


def predictor(
    network: nn.Module, normalizer: Normalizer, context: RunContext
) -> Callable[[Batch], Tensor]:
    """Return a function from a batch to (N, K) logits of the network in eval mode."""
    network.eval()

    def predict(batch: Batch) -> Tensor:
        with context.autocast():
            return network(normalizer(batch.images))

    return predict


def validate(
    stage_run: StageRun,
    context: RunContext,
    training: TrainState,
    normalizer: Normalizer,
    saver: CheckpointWriter,
) -> dict[str, float | None]:
    """Evaluate on the validation split and keep the weights if they are the best so far.

    Without a validation split the newest weights are kept.
    """
    split, model = context.data.validation, training.evaluated
    epoch = training.epoch + 1
    accuracy = loss = None
    if split is not None:
        result = measure(stage_run, context, model, normalizer, split)
        accuracy, loss = result.accuracy, result.loss
    if better(training.best, accuracy, loss):
        saver.keep_best(model, training.update)
        training.best = {"epoch": epoch, "update": training.update}
        training.best |= {"validation": accuracy, "validation_loss": loss}
    return {"validation_accuracy": accuracy, "validation_loss": loss}


def better(best: dict[str, Any] | None, accuracy: float | None, loss: float | None) -> bool:
    """Whether an epoch beats the best so far: by accuracy, then by loss."""
    if best is None or accuracy is None or loss is None:
        return True
    # On a small validation split many epochs tie, and the first one is rarely the best.
    return (accuracy, -loss) > (best["validation"], -best["validation_loss"])
