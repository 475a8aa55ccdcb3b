"""Measures of a single model."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from kdrun.analysis import (
    DarkKnowledge,
    DarkKnowledgeCurve,
    brier_score,
    calibration_temperature,
    dark_knowledge,
    entropy,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_diagram,
    similarity_rows,
    temperature_curve,
    train_test_gap,
    wilson_interval,
)
from kdrun.analysis.class_similarity import spread
from kdrun.evaluation.predictions import Predictions
from kdrun.losses.temperature import softmax_with_temperature

SPLIT_TITLES = {"train": "training"}
CURVE = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 22.6, 32.0)
"""Temperatures of the curves."""

MOST_CLASSES = 20
"""Size of the recorded class-similarity matrix: the most confused classes."""


def accuracy_of(answers: Predictions) -> dict[str, Any]:
    """Accuracy over all evaluated images, with its 95 % Wilson interval."""
    return {
        "images": answers.images,
        "measured": len(answers.labels),
        "accuracy": answers.correct / answers.images,
        "interval": list(wilson_interval(answers.correct, answers.images)),
    }


def split_measures(answers: Predictions) -> dict[str, Any]:
    """Scores, entropy and calibration of one split, before and after temperature scaling."""
    probs = softmax_with_temperature(answers.logits.double(), 1.0)
    T = calibration_temperature(answers.logits, answers.labels)
    # 0 and inf are limits: the ranking is perfect, or worse than chance.
    scaled = softmax_with_temperature(answers.logits.double(), T) if 1e-3 < T <= 1000 else None
    labels = answers.labels
    return accuracy_of(answers) | {
        "nll": negative_log_likelihood(probs, labels),
        "brier": brier_score(probs, labels),
        "entropy": entropy(probs).mean().item(),
        "confidence": probs.amax(dim=1).mean().item(),
        "calibration_error": expected_calibration_error(probs, labels),
        "reliability": [asdict(filled) for filled in reliability_diagram(probs, labels)],
        "calibration_T": T,
        "calibrated_error": None if scaled is None else expected_calibration_error(scaled, labels),
        "calibrated_reliability": []
        if scaled is None
        else [asdict(filled) for filled in reliability_diagram(scaled, labels)],
    }


def model_measures(answers: Mapping[str, Predictions], chosen: bool) -> dict[str, Any]:
    """Measures of every split, train-test gap, and entropy over temperatures.

    Args:
        answers: predictions by split.
        chosen: whether the weights are those of the epoch that was best on validation, so that the
            interval of validation accuracy is too high.
    """
    train, test = answers["train"], answers["test"]
    probs = [softmax_with_temperature(one.logits.double(), 1.0) for one in (train, test)]
    gap = train_test_gap(probs[0], train.labels, probs[1], test.labels)
    curve = temperature_curve(test.logits, CURVE)
    return {
        "splits": {
            name: split_measures(one) | {"chose_epoch": chosen and name == "validation"}
            for name, one in answers.items()
        },
        "gap": asdict(gap),
        "temperature_curve": {
            "temperatures": curve.temperatures,
            "entropy": curve.mean_entropy,
            "max_probability": curve.mean_max_probability,
            "entropy_slope": curve.entropy_slope,
        },
    }


def knowledge_measures(
    softened: Callable[[str, float], Tensor], labels: Mapping[str, Tensor], T: float, full: bool
) -> dict[str, Any]:
    """A teacher's dark knowledge at T = 1 and at the training's T, or over a grid of T.

    Args:
        softened: split and T -> (n, K) soft targets.
        labels: (n,) of every split.
        T: of the training.
        full: whether to add the curves over T.
    """

    def at(split: str, T: float) -> DarkKnowledge:
        return dark_knowledge(softened(split, T), labels[split], SPLIT_TITLES.get(split, split))

    return {
        "T": T,
        "splits": {
            split: {
                "images": len(labels[split]),
                "at_1": asdict(at(split, 1.0)),
                "at_T": asdict(at(split, T)),
                "curve": curve_of([at(split, one) for one in CURVE]) if full else None,
            }
            for split in labels
        },
    }


def curve_of(brackets: Sequence[DarkKnowledge]) -> dict[str, Any]:
    """Combine the dark knowledge at every T into a curve."""
    lower, upper, most = zip(*((one.lower, one.upper, one.max) for one in brackets), strict=True)
    return asdict(DarkKnowledgeCurve(CURVE, lower, upper, most))


def similarity_measures(
    probs: Tensor, labels: Tensor, T: float, class_names: Sequence[str]
) -> dict[str, Any]:
    """Class similarities of the `MOST_CLASSES` most confused classes.

    Args:
        probs: (n, K) soft targets at T.
        labels: (n,) class indices.
        T: for the record.
        class_names: K of them.
    """
    found = similarity_rows(probs, labels)
    others = found.others()
    given, taken = spread(others.sum(dim=1), found.classes, len(class_names)), others.sum(dim=0)
    order = torch.argsort(given + taken, descending=True, stable=True)
    shown = sorted(order[:MOST_CLASSES].tolist())
    information = spread(found.information(), found.classes, len(class_names))
    return {
        "T": T,
        "classes": [class_names[place] for place in shown],
        "of": len(class_names),
        "probability": found.table(shown).tolist(),
        "information": information[shown].tolist(),
        "most_information": math.log(max(1, len(class_names) - 1)),
    }
