"""Measures of a finished teacher's outputs, for the summary of its stage."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.analysis.certainty import certainty
from kdrun.analysis.relabelling import find_relabelling
from kdrun.data.batch import Batch, Split
from kdrun.data.normalizer import Normalizer
from kdrun.plan.stage import ASSISTANT, GENERATION, TEACHER
from kdrun.training.context import RunContext, StageRun
from kdrun.training.evaluate import predictor, unless_stopped

IMAGES, LOGITS = 10_000, 20_000_000
"""Largest number of images used, and of their logits, 160 MB in float64."""

NAMED = 4
"""Largest number of permuted classes to name."""


def teacher_measures(
    stage_run: StageRun, context: RunContext, network: nn.Module, normalizer: Normalizer
) -> dict[str, Any]:
    """Return the certainty of a possible teacher, and a class permutation of given weights.

    Certainty is measured on validation images, or training images without a validation split; the
    permutation on the more numerous training images.
    """
    if stage_run.stage.role not in (TEACHER, ASSISTANT, GENERATION):
        return {}
    data = context.data
    logits, labels = sample_logits(
        stage_run, context, network, normalizer, data.validation or data.train
    )
    found: dict[str, Any] = {"certainty": certainty(logits, labels)}
    if stage_run.stage.pretrained:
        logits, labels = sample_logits(stage_run, context, network, normalizer, data.train)
        found |= class_order(logits, labels)
    return found


def class_order(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return `class_order` for a stage's summary: empty if the outputs match the classes."""
    order = find_relabelling(logits.argmax(1), labels, logits.shape[1])
    if order is None:
        return {}
    entry = {
        "outputs": [list(pair) for pair in order.outputs[:NAMED]],
        "moved": len(order.outputs),
        "accuracy": order.accuracy,
        "relabelled": order.relabelled,
    }
    return {"class_order": entry}


@torch.inference_mode()
def sample_logits(
    stage_run: StageRun,
    context: RunContext,
    network: nn.Module,
    normalizer: Normalizer,
    split: Split,
) -> tuple[Tensor, Tensor]:
    """Return (N, K) float64 logits and (N,) labels of the split, or of a seeded sample of it."""
    size = stage_run.stage.train.eval_batch_size
    most = most_images(len(context.data.class_names))
    if len(split) <= most:
        batches = split.batches(size)
    else:
        size = min(size, most)
        seed = stage_run.stage.train.seed
        batches = islice(
            split.train_batches(size, seed=seed, view=0, augment="none"), -(-most // size)
        )
    predict = predictor(network, normalizer, context)
    return collect_logits(predict, unless_stopped(stage_run, context, batches), most)


def most_images(classes: int) -> int:
    """Return the largest number of images of so many classes whose logits are held at once."""
    return max(1, min(IMAGES, LOGITS // classes))


def collect_logits(
    predict: Callable[[Batch], Tensor], batches: Iterable[Batch], most: int
) -> tuple[Tensor, Tensor]:
    """Return (N, K) float64 logits and (N,) labels on the CPU, of the first `most` images."""
    pairs = [(predict(batch).double().cpu(), batch.labels.cpu()) for batch in batches]
    logits, labels = zip(*pairs, strict=True)
    return torch.cat(logits)[:most], torch.cat(labels)[:most]
