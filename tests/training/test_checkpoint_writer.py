"""When a checkpoint is due."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdrun.training import checkpoint_writer
from kdrun.training.checkpoint_writer import CheckpointSchedule

ONE_TEAM = """
import os, sys, tempfile
from pathlib import Path
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
import torch
from torch import nn
from kdrun.training.checkpoint_writer import CheckpointWriter

torch.set_num_threads(2)
student = nn.Sequential(nn.Conv2d(64, 256, 3), nn.BatchNorm2d(256))
student.to(memory_format=torch.channels_last)
student(torch.randn(4, 64, 9, 9)).sum().backward()
optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
optimizer.step()
plain = dict.fromkeys(("epoch", "batch", "update", "skipped"), 0)
plain |= dict.fromkeys(("seconds", "best", "shares", "history"))
models = {"student": student, "objective": nn.Module(), "average": None, "optimizer": optimizer}
scaler, totals = torch.amp.GradScaler("cpu", enabled=False), SimpleNamespace(sums=torch.zeros(3))
training = SimpleNamespace(**models, scaler=scaler, totals=totals, **plain)

def threads():
    return len(os.listdir("/proc/self/task"))

with tempfile.TemporaryDirectory() as folder, CheckpointWriter(Path(folder), "hash", 2) as saver:
    saver.keep_best(nn.Linear(1, 1), 0)  # starts the thread
    saver.wait()
    before = threads()
    saver.keep_best(student, 1)
    saver.save(training)
    saver.wait()
    print(threads() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists threads")
def test_the_thread_that_writes_makes_no_team_of_threads_beside_that_of_training():
    words = (sys.executable, "-c", ONE_TEAM)
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "0\n"


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
    timetable = CheckpointSchedule(every, at())
    assert [u for u in range(1, 9) if timetable.due(at(epoch=u // 2, update=u))] == due


def test_minutes_are_counted_from_the_last_checkpoint(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(checkpoint_writer.time, "monotonic", lambda: clock[0])
    timetable = CheckpointSchedule("1.5min", at())
    found = []
    for seconds in (60, 89, 91, 120, 180, 182, 300):
        clock[0] = 100.0 + seconds
        if timetable.due(at()):
            found.append(seconds)
    assert found == [91, 182, 300]


def test_a_resumed_training_counts_from_where_it_is():
    timetable = CheckpointSchedule("3steps", at(update=7))
    assert [u for u in range(8, 15) if timetable.due(at(update=u))] == [10, 13]
