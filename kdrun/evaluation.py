"""A pass over a split to see how good a model is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdrun.data.batch import Batch
from kdrun.totals import CORRECT, LOGITS, TOTAL, Totals


@dataclass(frozen=True)
class Evaluation:
    """Accuracy (a fraction) and mean cross-entropy over a split."""

    accuracy: float
    loss: float


@torch.inference_mode()
def evaluate(
    predict: Callable[[Batch], Tensor], batches: Iterable[Batch], device: torch.device
) -> Evaluation:
    """Accuracy and cross-entropy of logits over all batches; one synchronisation, at the end.

    Raises:
        NumericError: a logit is not finite.
    """
    totals = Totals((), device, checks=(LOGITS,))
    for batch in batches:
        logits = predict(batch).float()
        loss = nn.functional.cross_entropy(logits, batch.labels)
        totals.add(loss, {}, logits, batch.labels, (logits,))
    means = totals.means(totals.sums.tolist())
    return Evaluation(accuracy=means[CORRECT], loss=means[TOTAL])
