"""Context of a stage's training: the stage, and the objects shared by a run's stages."""

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
    """Objects shared by all stages of a run.

    Attributes:
        inputs: inputs shared by stages in lockstep.
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
        """Return the autocast context of the run's precision."""
        return autocast(self.device, self.precision)


ContextBySeed = Mapping[int | None, RunContext]
"""Contexts by the stage's seed, which the splits depend on; None for a run with one seed."""


@dataclass(frozen=True)
class StageRun:
    """A stage to run: plan, folder, and facts known in advance."""

    stage: Stage
    digest: str
    folder: Path
    source: WeightsSource | None
    parameters: int
    macs: int
    identity: dict[str, Any]

    @property
    def title(self) -> str:
        """Name in messages, such as `student resnet8`."""
        return self.stage.title
