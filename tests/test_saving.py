"""When a checkpoint is due."""

from types import SimpleNamespace

import pytest

from kdrun import saving
from kdrun.saving import Timetable


def at(epoch=0, update=0):
    return SimpleNamespace(epoch=epoch, update=update)


@pytest.mark.parametrize(
    ("every", "due"),
    [
        ("1steps", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("3steps", [3, 6]),
        ("3 step", [3, 6]),
        ("2.5steps", [3, 6]),
        ("1epoch", [2, 4, 6, 8]),
        ("2epochs", [4, 8]),
        ("0steps", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("0epochs", [2, 4, 6, 8]),
    ],
)
def test_steps_and_epochs_are_counted_from_the_last_checkpoint(every, due):
    timetable = Timetable(every, at())
    assert [u for u in range(1, 9) if timetable.due(at(epoch=u // 2, update=u))] == due


def test_minutes_are_counted_from_the_last_checkpoint(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: clock[0])
    timetable = Timetable("1.5min", at())
    found = []
    for seconds in (60, 89, 91, 120, 180, 182, 300):
        clock[0] = 100.0 + seconds
        if timetable.due(at()):
            found.append(seconds)
    assert found == [91, 182, 300]


def test_a_resumed_training_counts_from_where_it_is():
    timetable = Timetable("3steps", at(update=7))
    assert [u for u in range(8, 15) if timetable.due(at(update=u))] == [10, 13]
