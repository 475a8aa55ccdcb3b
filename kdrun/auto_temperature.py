"""Choosing T in a run: what the finished teacher says of training images, and what follows."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from kdrun.analysis import dark_knowledge_curve, entropy
from kdrun.finished_model import load_finished
from kdrun.job import Job, Setting, predictor
from kdrun.temperature_choice import (
    NOISY_FROM,
    auto_temperature,
    entropy_of_counts,
    formula_temperature,
    interior_maximum,
    memorised_noise,
    normalised_entropy,
    optimal_temperature,
)

IMAGES = 10_000
"""Training images that the teacher is asked about at most."""

GRID = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0)
"""Temperatures at which the dark knowledge is measured for method=cmi."""

PILOTS = (1.0, 2.0, 4.0, 8.0)
"""Temperatures of the pilot stages of method=search."""


@torch.inference_mode()
def sampled_logits(job: Job, setting: Setting, most: int = IMAGES) -> tuple[Tensor, Tensor]:
    """(N, K) float64 logits and (N,) labels of a seeded draw of training images, in eval mode."""
    network, normalizer = load_finished(job, setting)
    predict = predictor(network, normalizer, setting)
    size = min(most, job.stage.train.eval_batch_size)
    seed = job.stage.train.seed
    batches = setting.data.train.train_batches(size, seed=seed, view=0, augment="none")
    pairs = [(predict(b).double().cpu(), b.labels.cpu()) for b in islice(batches, -(-most // size))]
    logits, labels = zip(*pairs, strict=True)
    return torch.cat(logits)[:most], torch.cat(labels)[:most]


def evidence(
    logits: Tensor, labels: Tensor, label_counts: Sequence[int], label_noise: float
) -> dict[str, Any]:
    """What T is chosen from, and what the formula says of it, which is noted whatever the method.

    Args:
        logits: (N, K) of the teacher on training images.
        labels: (N,) theirs, noise included.
        label_counts: how often each label occurs in the training data.
        label_noise: the stated share of wrong labels.
    """
    teacher_entropy = float(entropy(logits.softmax(dim=1)).mean())
    label_entropy = entropy_of_counts(label_counts)
    accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
    return {
        "images": len(logits),
        "teacher_entropy": teacher_entropy,
        "u": normalised_entropy(teacher_entropy, logits.shape[1]),
        "label_entropy": label_entropy,
        "formula": optimal_temperature(teacher_entropy, label_entropy),
        "formula_clipped": formula_temperature(teacher_entropy, label_entropy),
        "label_noise": label_noise,
        "train_accuracy": accuracy,
        "noisy": label_noise >= NOISY_FROM,
        "memorised": label_noise >= NOISY_FROM and memorised_noise(accuracy, label_noise),
    }


def guideline(found: Mapping[str, Any], label_smoothing: float) -> dict[str, Any]:
    """T by the guideline, and the warnings that go with it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        T = auto_temperature(
            found["u"],
            noisy=found["noisy"],
            memorised=found["memorised"],
            label_smoothed=label_smoothing > 0,
        )
    told_lines = [str(warning.message) for warning in told]
    return {"label_smoothing": label_smoothing, "guideline": T, "warnings": told_lines}


def most_dark_knowledge(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """The dark knowledge over T, and the T of its largest value unless that is at an end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with few images: the estimate is for T alone
        curve = dark_knowledge_curve(logits, labels, GRID)
    values = {"temperatures": list(GRID), "dark_knowledge": list(curve.lower)}
    return values | {"interior_maximum": interior_maximum(GRID, curve.lower)}


def choose(
    method: str,
    logits: Tensor,
    labels: Tensor,
    *,
    label_counts: Sequence[int],
    label_noise: float,
    label_smoothing: float,
    pilot: Callable[[float], float],
) -> dict[str, Any]:
    """The chosen `T` and everything it was chosen from.

    Args:
        method: guideline, formula, cmi or search.
        logits: (N, K) of the teacher on training images.
        labels: (N,) theirs.
        label_counts: how often each label occurs in the training data.
        label_noise: the stated share of wrong labels.
        label_smoothing: that the teacher was trained with.
        pilot: T -> validation accuracy of a short training at it.
    """
    found = evidence(logits, labels, label_counts, label_noise)
    found |= guideline(found, label_smoothing)
    if method == "formula":
        T = found["formula_clipped"]
    elif method == "cmi":
        found |= most_dark_knowledge(logits, labels)
        T = found["interior_maximum"] or found["guideline"]
    elif method == "search":
        accuracies = {T: pilot(T) for T in PILOTS}
        found["pilots"] = [{"T": T, "validation": value} for T, value in accuracies.items()]
        T = max(accuracies, key=lambda T: accuracies[T])
    else:
        T = found["guideline"]
    # To a hundredth, so that rounding on another machine makes no other stage of it.
    return {"method": method, "T": round(T, 2)} | found
