import math
from itertools import pairwise

import pytest

from kdrun.temperature import SCHEDULES, temperature_at


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [8.0, 8.0, 8.0, 8.0, 8.0]),
        ("linear", [8.0, 6.5, 5.0, 3.5, 2.0]),
        ("cosine", [8.0, 5 + 3 * math.sqrt(0.5), 5.0, 5 - 3 * math.sqrt(0.5), 2.0]),
        ("exponential", [8.0, 8 / math.sqrt(2), 4.0, 4 / math.sqrt(2), 2.0]),
        ("step", [8.0, 8.0, 4.0, 4.0, 2.0]),
    ],
)
def test_schedule_visits_its_values(schedule, expected):
    values = [temperature_at(schedule, epoch, 5, 8.0, 2.0, 0.5, 2) for epoch in range(5)]
    assert values == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule_never_rises_nor_leaves_its_ends_within_the_epochs(schedule):
    values = [temperature_at(schedule, tenth / 10, 6, 9.0, 1.5, 0.5, 2) for tenth in range(61)]
    assert all(later <= earlier for earlier, later in pairwise(values))
    assert values[0] == 9.0
    assert min(values) >= 1.5 - 1e-12


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_single_epoch_stays_at_the_start(schedule):
    assert temperature_at(schedule, 0.9, 1, 4.0) == 4.0


def test_step_stops_at_the_end_temperature():
    assert temperature_at("step", 40, 50, 8.0, end=3.0) == 3.0


def test_a_schedule_may_rise():
    assert temperature_at("linear", 1, 3, 1.0, end=5.0) == pytest.approx(3.0)


def test_only_the_constant_schedule_starts_at_infinity():
    assert temperature_at("constant", 3, 10, math.inf) == math.inf
    for schedule in set(SCHEDULES) - {"constant"}:
        with pytest.raises(ValueError, match=r"\(0, 1000\], got inf"):
            temperature_at(schedule, 3, 10, math.inf)
    with pytest.raises(ValueError, match=r"\(0, 1000\], got inf"):
        temperature_at("linear", 3, 10, 4.0, end=math.inf)


def test_an_unknown_schedule_is_refused_with_a_near_miss():
    with pytest.raises(ValueError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
        temperature_at("cosin", 0, 10, 4.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 0.0},
        {"end": 0.0},
        {"epoch": -1},
        {"epoch": math.nan},
        {"epochs": 0},
        {"gamma": 0.0},
        {"gamma": 1.5},
        {"every": 0},
    ],
)
def test_a_schedule_refuses_arguments_out_of_range(wrong):
    arguments = {"schedule": "step", "epoch": 1, "epochs": 10, "start": 4.0} | wrong
    with pytest.raises(ValueError, match="got"):
        temperature_at(**arguments)
