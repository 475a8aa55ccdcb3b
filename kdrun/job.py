"""One stage about to be done, and what all stages of a run share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.company import Alone, Company
from kdrun.data.batch import Batch, Split
from kdrun.data.image_data import ImageData
from kdrun.data.views import Normalizer
from kdrun.device import autocast
from kdrun.errors import NumericError, Stopped
from kdrun.evaluation import Evaluation, evaluate
from kdrun.plan import Stage
from kdrun.progress import Reporter
from kdrun.stop import Stop
from kdrun.weights_source import WeightsSource


@dataclass(frozen=True)
class Setting:
    """What all stages of a run share.

    Attributes:
        track: takes each line of `metrics.jsonl` too.
        company: those with whom stages are trained side by side.
    """

    data: ImageData
    augment: str
    device: torch.device
    precision: str
    reporter: Reporter
    stop: Stop
    output_root: Path
    track: Callable[[dict[str, Any]], None] = lambda line: None
    company: Company = field(default_factory=Alone)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which models compute."""
        return autocast(self.device, self.precision)


Settings = Mapping[int | None, Setting]
"""By the seed of the stage, since the splits depend on it; None where the run has one seed."""


@dataclass(frozen=True)
class Job:
    """One stage to be done: what, where, and what is known of it beforehand."""

    stage: Stage
    digest: str
    folder: Path
    source: WeightsSource | None
    parameters: int
    macs: int
    identity: dict[str, Any]

    @property
    def title(self) -> str:
        """`student resnet8`."""
        return self.stage.title


def view_of(stage: Stage, epoch: int) -> int:
    """Which view of the images the epoch trains on."""
    return epoch % stage.cache.views if stage.cache.views else epoch


def mixes(stage: Stage) -> bool:
    """Whether images are mixed with others of their batch."""
    return stage.train.mixup > 0 or stage.train.cutmix > 0


def training_batches(stage: Stage, setting: Setting, epoch: int, start: int) -> Iterator[Batch]:
    """The epoch's batches from number `start` on.

    The order of the images is the epoch's own, but with mixing it is the view's: who is mixed with
    whom is part of the view.
    """
    options, view = stage.train, view_of(stage, epoch)
    make = partial(
        setting.data.train.train_batches,
        options.batch_size,
        seed=options.seed,
        view=view,
        order=view if mixes(stage) else epoch,
        augment=setting.augment,
        start=start,
    )
    return setting.company.batches((epoch, start), make)


def measure(
    job: Job, setting: Setting, network: nn.Module, normalizer: Normalizer, split: Split
) -> Evaluation:
    """Accuracy and loss of the network over a split.

    Raises:
        NumericError: its logits are not finite.
        Stopped: a signal asked for it.
    """
    batches = split.batches(job.stage.train.eval_batch_size)
    predict = predictor(network, normalizer, setting)

    def unless_stopped(batch: Batch) -> Tensor:
        if setting.stop:
            raise Stopped(f"stopped while {job.title} was evaluated")
        return predict(batch)

    try:
        return evaluate(unless_stopped, batches, setting.device)
    except NumericError as error:
        raise NumericError(f"{job.title}: {error} on images it is evaluated on") from error


def predictor(
    network: nn.Module, normalizer: Normalizer, setting: Setting
) -> Callable[[Batch], Tensor]:
    """Batch -> (N, K) logits of the network in eval mode."""
    network.eval()

    def predict(batch: Batch) -> Tensor:
        with setting.autocast():
            return network(normalizer(batch.images))

    return predict
