"""Training state: models, optimizer, position; and a snapshot to undo one update."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from kdrun.training.interleaving import Position
from kdrun.training.meters import EpochMeters
from kdrun.training.objective import Objective


@dataclass
class TrainState:
    """State that training changes: the content of a checkpoint."""

    student: nn.Module
    objective: Objective
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: AveragedModel | None
    totals: EpochMeters
    epoch: int = 0
    batch: int = 0
    update: int = 0
    skipped: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    shares: dict[str, float | None] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def position(self) -> Position:
        """Position between two updates."""
        return self.epoch, self.batch

    @property
    def evaluated(self) -> nn.Module:
        """Model to evaluate: the average of the weights if there is one."""
        return self.student if self.average is None else self.average.module

    def next_epoch(self) -> None:
        """Move on to the start of the next epoch."""
        self.totals.clear()
        self.epoch, self.batch, self.seconds = self.epoch + 1, 0, 0.0

    def parameters(self) -> list[nn.Parameter]:
        """Parameters that the optimizer updates."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


class UpdateSnapshot:
    """State changed by a batch before its update, for restoring if the update is skipped."""

    def __init__(self, training: TrainState) -> None:
        self.sums = training.totals.sums.clone()
        modules = (training.student, training.objective)
        self.buffers = [(b, b.clone()) for module in modules for b in module.buffers()]

    def put_back(self, training: TrainState) -> None:
        """Restore the state before the batch."""
        training.totals.undo(self.sums)
        for buffer, value in self.buffers:
            buffer.copy_(value)
        training.optimizer.zero_grad(set_to_none=True)
