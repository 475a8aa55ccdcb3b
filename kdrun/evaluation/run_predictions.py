"""Predictions of all models of a run, each computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kdrun.errors import Stopped
from kdrun.evaluation.predictions import (
    SPLITS,
    Predictions,
    check_same_images,
    collect,
    split_batches,
    split_size,
    stride_for,
)
from kdrun.losses import ensemble_probabilities
from kdrun.losses.temperature import softmax_with_temperature
from kdrun.plan.stage import placed_label
from kdrun.training.context import ContextBySeed, RunContext, StageRun
from kdrun.training.evaluate import predictor
from kdrun.training.stage_model import load_finished

ENSEMBLE = "ensemble"
"""Role of the mean of several teachers."""


@dataclass
class RunPredictions:
    """The models of a run with their predictions.

    Attributes:
        splits: the evaluated splits.
        asked: predictions so far, by stage hash and seed, because the seed determines the splits.
    """

    stage_runs: Sequence[StageRun]
    contexts: ContextBySeed
    splits: Sequence[str] = SPLITS
    asked: dict[tuple[str, int | None], dict[str, Predictions]] = field(default_factory=dict)

    def of(self, place: int) -> Mapping[str, Predictions]:
        """Predictions of a stage's model on each split.

        Raises:
            DamagedError: the stage is damaged.
            Stopped: a signal requested it.
        """
        stage_run = self.stage_runs[place]
        key = (stage_run.digest, stage_run.stage.seed)
        if key not in self.asked:
            sample = min(one.stage.train.eval_batch_size for one in self.stage_runs)
            self.asked[key] = predict_splits(
                stage_run, self.contexts[stage_run.stage.seed], self.splits, sample
            )
        return self.asked[key]

    def of_all(self, places: Sequence[int]) -> Mapping[str, Predictions]:
        """Predictions of one model, or of the weighted mean of a stage's teachers."""
        members = [self.of(place) for place in places]
        if len(members) == 1:
            return members[0]
        weights = self.weights(places)
        return {
            split: averaged([member[split] for member in members], weights) for split in members[0]
        }

    def softened(self, places: Sequence[int], split: str, T: float) -> Tensor:
        """(n, K) float64 probabilities at T of one model, or of the mean of a stage's teachers."""
        members = [self.of(place)[split] for place in places]
        check_same_images(*members)
        logits = [member.logits.double() for member in members]
        weights = self.weights(places) if len(places) > 1 else None
        return ensemble_probabilities(logits, T, weights)

    def weights(self, places: Sequence[int]) -> Sequence[float] | None:
        """Weights of the stage's teachers at these places; None for equal weights."""
        stages = (stage_run.stage for stage_run in self.stage_runs)
        found = next(stage for stage in stages if stage.teachers == tuple(places))
        return found.teacher_weights or None

    def label(self, places: Sequence[int]) -> dict[str, Any]:
        """Label of a stage, or of an ensemble with its members in `stages`."""
        first = placed_label(places[0], self.stage_runs[places[0]].stage)
        if len(places) == 1:
            return first
        names = " + ".join(self.stage_runs[place].stage.model.arch for place in places)
        del first["stage"]
        return first | {"stages": list(places), "role": ENSEMBLE, "arch": names}


def predict_splits(
    stage_run: StageRun, context: RunContext, splits: Sequence[str], sample: int
) -> dict[str, Predictions]:
    """Predict every available split in one pass each.

    Args:
        sample: batch size for the training images; it determines the sample, so it must be the
            same for all compared models.
    """
    predict, data = predictor(*load_finished(stage_run, context), context), context.data
    found = {}
    for split in splits:
        if context.stop:
            raise Stopped(f"stopped while measuring {stage_run.title}")
        size = split_size(data, split)
        if size:
            batch_size = sample if split == "train" else stage_run.stage.train.eval_batch_size
            batches = split_batches(data, split, batch_size)
            found[split] = collect(predict, batches, stride_for(size, len(data.class_names)))
    return found


def averaged(members: Sequence[Predictions], weights: Sequence[float] | None) -> Predictions:
    """Predictions of the weighted mean of the models' probabilities at T = 1, on kept images."""
    check_same_images(*members)
    first = members[0]
    logits = [one.logits.double() for one in members]
    probs = ensemble_probabilities(logits, 1.0, weights)
    logs = probs.clamp_min(torch.finfo(probs.dtype).tiny).log()
    correct = int((probs.argmax(dim=1) == first.labels).sum())
    seen = len(first.labels)
    return Predictions(logs, first.labels, first.indices, seen, correct, source=first.source)


def probabilities(answers: Predictions) -> Tensor:
    """The (n, K) float64 probabilities at T = 1."""
    return softmax_with_temperature(answers.logits.double(), 1.0)
