"""Context of a stage's training: the stage to train, and what all stages of a run share."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kdrun.data.dataset import ImageData
from kdrun.device import autocast
from kdrun.loggers.console import Reporter
from kdrun.plan.stage import Stage
from kdrun.signals import Stop
from kdrun.training.initial_weights import WeightsSource
from kdrun.training.shared_inputs import OwnInputs, SharedInputs


@dataclass(frozen=True)
class RunContext:
    """What all stages of a run share.

    Attributes:
        inputs: what stages trained side by side share.
    """

    data: ImageData
    augment: str
    device: torch.device
    precision: str
    reporter: Reporter
    stop: Stop
    output_root: Path
    inputs: SharedInputs = field(default_factory=OwnInputs)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which models compute."""
        return autocast(self.device, self.precision)


ContextBySeed = Mapping[int | None, RunContext]
"""By the seed of the stage, since the splits depend on it; None where the run has one seed."""


@dataclass(frozen=True)
class StageRun:
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
