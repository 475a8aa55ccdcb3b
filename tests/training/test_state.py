"""The position of a training: from one epoch to the next."""

import torch
from torch import nn

from kdrun.training.meters import EpochMeters
from kdrun.training.objective import Objective
from kdrun.training.state import TrainState


def test_the_next_epoch_begins_with_nothing_summed():
    model, objective = nn.Linear(2, 2), Objective({}, {})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    totals = EpochMeters((), torch.device("cpu"))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    state = TrainState(model, objective, optimizer, scaler, None, totals)
    logits, labels = torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0])
    totals.add(torch.tensor(0.5), {}, logits, labels)
    totals.close_update(None, 2)
    state.batch, state.update, state.seconds = 1, 1, 4.0
    assert (totals.images, totals.good) == (2, 1)
    state.next_epoch()
    assert (totals.images, totals.good) == (0, 0)
    assert (state.position, state.update, state.seconds) == ((1, 0), 1, 0.0)
