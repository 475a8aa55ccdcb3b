"""One stage about to be done, and what all stages of a run share."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.data.batch import Batch, Split
from kdrun.data.image_data import ImageData
from kdrun.data.views import Normalizer
from kdrun.device import autocast
from kdrun.engine import Evaluation, evaluate
from kdrun.errors import NumericError
from kdrun.plan import Stage
from kdrun.progress import Reporter
from kdrun.stop import StopRequest
from kdrun.weights_source import WeightsSource


@dataclass(frozen=True)
class Setting:
    """What all stages of a run share."""

    data: ImageData
    augment: str
    device: torch.device
    precision: str
    reporter: Reporter
    stop: StopRequest

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


def measure(
    job: Job, setting: Setting, network: nn.Module, normalizer: Normalizer, split: Split
) -> Evaluation:
    """Accuracy and loss of the network over a split.

    Raises:
        NumericError: its logits are not finite.
    """
    batches = split.batches(job.stage.train.eval_batch_size)
    try:
        return evaluate(predictor(network, normalizer, setting), batches, setting.device)
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
