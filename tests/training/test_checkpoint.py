"""Checkpoints: whole or absent, verified, exact, and unable to run code."""

import os

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kdrun.errors import OutputError, WeightsError
from kdrun.losses.alignment import Pair
from kdrun.losses.hint import HintTerm
from kdrun.store.files import file_entry, read_sealed, write_sealed
from kdrun.training.checkpoint import best_path, checkpoints, load_newest, save_weights, weights_of
from kdrun.training.checkpoint_state import restore, training_state
from kdrun.training.checkpoint_writer import CheckpointWriter
from kdrun.training.meters import EpochMeters
from kdrun.training.objective import Objective
from kdrun.training.state import TrainState


def training(seed: int, steps: int = 3) -> TrainState:
    torch.manual_seed(seed)
    student = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    objective = Objective({"hint": HintTerm([Pair("a", "b", 4, 6)])}, {"hint": 1.0})
    parameters = [*student.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    totals = EpochMeters(objective.weights, torch.device("cpu"))
    made = TrainState(student, objective, optimizer, scaler, average, totals)
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
    made.best = {"epoch": 1, "update": 1, "validation": 0.5, "validation_loss": 1.0}
    made.skipped, made.seconds = 1, 2.5
    made.history = [{"epoch": 1, "loss": 0.25}]
    made.shares = {"hint": 1.0}
    return made


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def save_checkpoint(folder, made, digest, keep):
    save_weights(best_path(folder, 1), weights_of(made.student))
    with CheckpointWriter(folder, digest, keep) as saver:
        saver.save(made)
    return checkpoints(folder)[0]


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
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "best-000000001.safetensors"])


@pytest.mark.parametrize(
    "damage", ["flip", "truncate", "state.pt", "weights.safetensors", "manifest.json"]
)
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
        (newest / damage).unlink()
    found, broken = load_newest(tmp_path, "hash")
    assert found["update"] == 3
    assert broken == [newest.with_name(f"damaged-{newest.name}")]
    assert not newest.exists()


def test_without_a_whole_checkpoint_nothing_is_used_and_nothing_moved(tmp_path):
    path = save_checkpoint(tmp_path, training(0), "hash", keep=2)
    (path / "state.pt").unlink()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(WeightsError, match="no checkpoint is intact: remove"):
        load_newest(tmp_path, "hash")
    assert sorted(os.listdir(tmp_path)) == before


def test_a_checkpoint_whose_best_weights_changed_is_damaged(tmp_path):
    save_checkpoint(tmp_path, training(0), "hash", keep=2)
    content = bytearray(best_path(tmp_path, 1).read_bytes())
    content[-1] ^= 1
    best_path(tmp_path, 1).write_bytes(content)
    with pytest.raises(WeightsError, match="best-000000001"):
        load_newest(tmp_path, "hash")


def test_a_checkpoint_of_another_stage_is_not_used(tmp_path):
    save_checkpoint(tmp_path, training(0), "hash", keep=2)
    with pytest.raises(WeightsError, match="belongs to another stage"):
        load_newest(tmp_path, "other")


def test_a_malicious_pickle_runs_no_code(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    path = save_checkpoint(tmp_path, training(0), "hash", keep=2)
    torch.save({"update": Evil()}, path / "state.pt")
    # Whoever forges the checkpoint forges its manifest too.
    manifest = read_sealed(path / "manifest.json")
    manifest["files"]["state.pt"] = file_entry(path / "state.pt")
    write_sealed(path / "manifest.json", manifest)
    with pytest.raises(WeightsError, match="not a checkpoint of kdrun"):
        load_newest(tmp_path, "hash")
    assert not marker.exists()


def test_a_checkpoint_of_other_shapes_or_positions_is_refused(tmp_path):
    state = training_state(training(0))
    for change in ({"update": "../../x"}, {"epoch": -1}, {"history": None, "optimizer": {}}):
        with pytest.raises(WeightsError, match="does not fit"):
            restore(training(1), state | change)


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
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, "best-000000001.safetensors"])
    assert load_newest(tmp_path, "hash")[0]["update"] == 3
