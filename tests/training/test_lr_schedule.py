import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdrun.training.lr_schedule import learning_rate_at


def test_warmup_rises_linearly_to_the_peak():
    rates = [learning_rate_at(u, 10, peak=2.0, schedule="constant", warmup=4) for u in range(6)]
    assert rates == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_cosine_is_torchs_cosine():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for update in range(20):
        mine = learning_rate_at(update, 20, peak=0.3, schedule="cosine")
        assert mine == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_step_falls_at_each_milestone():
    rates = [
        learning_rate_at(u, 8, peak=1.0, schedule="step", milestones=[0.5, 0.75], gamma=0.1)
        for u in range(8)
    ]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@given(
    update=st.integers(0, 999),
    warmup=st.integers(0, 500),
    schedule=st.sampled_from(["cosine", "step", "constant"]),
)
def test_the_rate_stays_between_zero_and_the_peak(update, warmup, schedule):
    rate = learning_rate_at(
        update, 1000, peak=0.7, schedule=schedule, warmup=warmup, milestones=[0.3], gamma=0.5
    )
    assert 0 < rate <= 0.7
    assert math.isfinite(rate)
