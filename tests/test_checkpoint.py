"""Checkpoints: whole or absent, verified, exact, and unable to run code."""

import os
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kdrun.checkpoint import checkpoints, load_newest, restore, save_checkpoint, training_state
from kdrun.engine import Training
from kdrun.errors import OutputError
from kdrun.objective import Objective
from kdrun.objective.hidden_terms import HintTerm, Pair
from kdrun.totals import Totals


def training(seed: int, steps: int = 3) -> Training:
    torch.manual_seed(seed)
    student = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    objective = Objective({"hint": HintTerm([Pair("a", "b", 4, 6)])}, {"hint": 1.0})
    parameters = [*student.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    totals = Totals(objective.weights, torch.device("cpu"))
    made = Training(student, objective, optimizer, scaler, average, totals)
    for _ in range(steps):
        loss = student(torch.randn(8, 4)).square().mean()
        loss = loss + objective.terms["hint"].projectors[0](torch.randn(8, 4)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(student)
        made.update += 1
    made.totals.sums += 1.5
    made.epoch, made.batch = 2, 7
    made.best = {"epoch": 1, "validation": 0.5, "validation_loss": 1.0}
    made.history = [{"epoch": 1, "loss": 0.25}]
    made.shares, made.unexplained = {"hint": 1.0}, 0.125
    return made


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_a_restored_training_equals_the_saved_one_in_all_it_holds(tmp_path):
    saved, other = training(0), training(1, steps=1)
    assert not equal(training_state(saved), training_state(other))
    save_checkpoint(tmp_path, saved, "hash", keep=2)
    state, broken = load_newest(tmp_path, "hash")
    restore(other, state)
    assert equal(training_state(saved), training_state(other))
    assert broken == []


def test_only_the_newest_are_kept_and_nothing_half_written(tmp_path):
    made = training(0)
    for update in (3, 10, 200, 4000):
        made.update = update
        save_checkpoint(tmp_path, made, "hash", keep=2)
    names = [path.name for path in checkpoints(tmp_path)]
    assert names == ["update-000004000", "update-000000200"]
    assert sorted(os.listdir(tmp_path)) == sorted(names)


@pytest.mark.parametrize("damage", ["flip", "truncate", "state", "manifest"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_named(tmp_path, damage):
    made = training(0)
    save_checkpoint(tmp_path, made, "hash", keep=2)
    made.update = 100
    newest = save_checkpoint(tmp_path, made, "hash", keep=2)
    state = newest / "state.pt"
    content = bytearray(state.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        state.write_bytes(content)
    elif damage == "truncate":
        state.write_bytes(content[:-100])
    else:
        (newest / {"state": "state.pt", "manifest": "manifest.json"}[damage]).unlink()
    found, broken = load_newest(tmp_path, "hash")
    assert found["update"] == 3
    assert broken == [newest.with_name(f"damaged-{newest.name}")]
    assert not newest.exists()


def test_a_checkpoint_of_another_stage_is_not_used(tmp_path):
    path = save_checkpoint(tmp_path, training(0), "hash", keep=2)
    state, broken = load_newest(tmp_path, "other")
    assert state is None
    assert broken == [path.with_name(f"damaged-{path.name}")]


def test_a_malicious_pickle_runs_no_code(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    path = save_checkpoint(tmp_path, training(0), "hash", keep=2)
    (path / "state.pt").write_bytes(pickle.dumps(Evil()))
    state, _ = load_newest(tmp_path, "hash")
    assert state is None
    assert not marker.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    made = training(0)
    path = save_checkpoint(tmp_path, made, "hash", keep=2)
    made.update = 100

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path, made, "hash", keep=2)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == [path.name]
    assert load_newest(tmp_path, "hash")[0]["update"] == 3
