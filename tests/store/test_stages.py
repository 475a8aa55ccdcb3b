"""The store: hashes, locks, and the mark of a finished stage."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from kdrun.errors import DamagedError, MisplacedError, OutputError
from kdrun.store.files import read_sealed, write_json, write_sealed
from kdrun.store.run_folder import new_run_folder, occupied, refuse_existing
from kdrun.store.stages import (
    finish,
    finished,
    lock_if_free,
    locked,
    make_store,
    root_with_store,
    set_aside,
    stage_folder,
    stage_hash,
)


def test_the_hash_ignores_the_order_of_keys():
    assert stage_hash({"a": 1, "b": [2]}) == stage_hash({"b": [2], "a": 1})
    assert stage_hash({"a": 1}) != stage_hash({"a": 2})


def stage(root, width=4, **changes):
    """A finished stage below the root, with everything that kdrun writes of one."""
    identity = {"format": 2, "model": {"arch": "mlp", "width": width}, "data": "images"}
    digest = stage_hash(identity)
    folder = stage_folder(root, digest)
    folder.mkdir(parents=True)
    write_json(folder / "stage.json", identity)
    (folder / "best.safetensors").write_bytes(b"weights")
    accuracy = {"train": 0.5, "last": None, "best_validation": None}
    summary = {"hash": digest, "arch": "mlp", "parameters": 10, "macs": 9, "epochs": 1}
    summary |= {"seconds": 0.5, "accuracy": accuracy | {"test_at_best_validation": 0.75}}
    finish(folder, {k: v for k, v in (summary | changes).items() if v is not ...})
    return folder, digest


def test_a_stage_is_finished_when_its_summary_is_there(tmp_path):
    assert finished(tmp_path / "store" / "nothing", "nothing") is None
    folder, digest = stage(tmp_path)
    summary = finished(folder, digest)
    assert list(summary["files"]) == ["best.safetensors", "stage.json"]
    assert summary["accuracy"]["test_at_best_validation"] == 0.75


@pytest.mark.parametrize("name", ["best.safetensors", "summary.json"])
def test_a_stage_with_a_changed_bit_is_damaged_and_is_set_aside_whole(tmp_path, name):
    folder, digest = stage(tmp_path)
    content = (folder / name).read_bytes().replace(b"weights", b"weighty")
    (folder / name).write_bytes(content.replace(b"0.75", b"0.85"))
    with pytest.raises(DamagedError, match="checksum differs"):
        finished(folder, digest)
    aside = set_aside(folder)
    assert finished(folder, digest) is None
    assert sorted(os.listdir(aside)) == ["best.safetensors", "stage.json", "summary.json"]


def test_exchanged_folders_are_not_the_stages_they_are_named_after(tmp_path):
    (one, first), (other, second) = stage(tmp_path, 4), stage(tmp_path, 8)
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    for folder, digest, held in ((one, first, second), (other, second, first)):
        with pytest.raises(MisplacedError, match=f"holds the stage {held}, not {digest}"):
            finished(folder, digest)


def test_a_summary_of_another_stage_is_noticed_beside_the_right_identity(tmp_path):
    folder, digest = stage(tmp_path, hash="0123456789abcdef")
    with pytest.raises(MisplacedError, match="holds the stage 0123456789abcdef"):
        finished(folder, digest)


def test_a_stage_of_an_earlier_kdrun_without_its_hash_is_taken_by_its_identity(tmp_path):
    folder, digest = stage(tmp_path, hash=...)
    assert "hash" not in finished(folder, digest)
    with pytest.raises(MisplacedError):
        finished(folder, "0123456789abcdef")


def test_a_stage_that_lists_no_weights_is_damaged(tmp_path):
    folder, digest = stage(tmp_path)
    summary = read_sealed(folder / "summary.json")
    del summary["files"]["best.safetensors"]
    write_sealed(folder / "summary.json", summary)
    with pytest.raises(DamagedError, match=r"does not list best\.safetensors"):
        finished(folder, digest)


def test_a_stage_whose_epochs_have_no_meaning_is_damaged(tmp_path):
    folder, digest = stage(tmp_path)
    summary = read_sealed(folder / "summary.json")
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "loss": "low"}\n')
    finish(folder, summary)  # with the right checksum
    with pytest.raises(DamagedError, match=r"metrics\.jsonl is damaged: in line 1"):
        finished(folder, digest)


def test_a_stage_whose_figures_contradict_each_other_is_damaged(tmp_path):
    folder, digest = stage(tmp_path, epochs=0)
    assert finished(folder, digest) is not None
    folder, digest = stage(tmp_path, 8, best_epoch=2)
    with pytest.raises(DamagedError, match="is damaged: best_epoch is 2 of 1 epochs"):
        finished(folder, digest)


def test_checkpoints_of_another_stage_go_aside_with_it(tmp_path):
    folder, _ = stage(tmp_path)
    (folder / "checkpoints").mkdir()
    aside = set_aside(folder, checkpoints=True)
    assert (aside / "checkpoints").is_dir()
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("moved", range(4))
def test_setting_aside_that_was_interrupted_is_done_again(tmp_path, monkeypatch, moved):
    folder, _ = stage(tmp_path)
    stranger = folder.with_name("0123456789abcdef")
    folder.rename(stranger)
    (stranger / "checkpoints").mkdir()
    rename, left = Path.rename, [None] * moved

    def interrupted(path, target):
        if not left:
            raise OSError("killed")
        left.pop()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(OutputError):
        set_aside(stranger, checkpoints=True)
    monkeypatch.undo()
    with pytest.raises(DamagedError) as told:
        finished(stranger, stranger.name)
    set_aside(stranger, checkpoints=isinstance(told.value, MisplacedError))
    assert finished(stranger, stranger.name) is None
    assert not (stranger / "checkpoints").exists()


@pytest.mark.parametrize("level", ["store", "store/hash"])
def test_a_link_below_the_output_root_is_not_entered(tmp_path, level):
    root, outside = tmp_path / "outputs", tmp_path / "outside"
    outside.mkdir()
    (root / level).parent.mkdir(parents=True)
    (root / level).symlink_to(outside)
    for enter in (lambda f: locked(f, lambda: None).__enter__(), lock_if_free):
        with pytest.raises(OutputError, match="is a link"):
            enter(root / "store" / "hash")
    with pytest.raises(OutputError, match="is a link"):
        finished(root / "store" / "hash", "hash")
    assert os.listdir(outside) == []


def test_the_output_root_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    make_store(tmp_path / "outputs")
    with locked(tmp_path / "outputs" / "store" / "hash", lambda: None):
        assert (tmp_path / "disk" / "store" / "hash").is_dir()


def test_a_lock_that_is_a_link_empties_nothing(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match="is a link"), occupied(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_run_folder_below_an_output_root_is_not_reached_through_a_link(tmp_path):
    root, outside = tmp_path / "outputs", tmp_path / "outside"
    (outside / "pair").mkdir(parents=True)
    make_store(root)
    (root / "digits").symlink_to(outside)
    with pytest.raises(OutputError, match="digits: is a link"):
        new_run_folder(root, "digits", "pair")
    with pytest.raises(OutputError, match="digits: is a link"), occupied(root / "digits" / "pair"):
        pass
    assert os.listdir(outside / "pair") == []


def hold(folder, held, release):
    with locked(folder, lambda: None):
        held.set()
        release.wait(30)


def test_a_second_process_waits_for_the_lock_and_says_so(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, release))
    process.start()
    assert held.wait(60)
    waited = []

    def waiting():
        waited.append(time.monotonic())
        release.set()

    with locked(tmp_path, waiting):
        assert waited
    process.join()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, never = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, never))
    process.start()
    assert held.wait(60)
    process.kill()
    process.join()
    with locked(tmp_path, lambda: pytest.fail("waited for a dead process")):
        pass


def test_two_runs_of_one_moment_get_two_folders(tmp_path):
    folders = {new_run_folder(tmp_path, "digits", "a-b") for _ in range(50)}
    assert len(folders) == 50


def test_a_folder_that_holds_a_run_is_not_taken_again(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(OutputError, match="holds a run already; resume it with 'kdrun resume"):
        refuse_existing(tmp_path)


def occupy(folder, held, release):
    with occupied(folder):
        held.set()
        release.wait(60)


def test_a_second_process_in_a_run_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("kdrun.store.run_folder.PATIENCE", 0.1)
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=occupy, args=(tmp_path, held, release))
    process.start()
    assert held.wait(60)
    (tmp_path / "status.json").write_text('{"pid": 7, "host": "here"}')
    with pytest.raises(OutputError, match="in use by process 7 on here"), occupied(tmp_path):
        pass
    process.kill()
    process.join()
    with occupied(tmp_path):  # the lock of a dead process is free
        pass


def test_a_folder_that_cannot_be_made_is_told_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        new_run_folder(tmp_path / "file", "digits", "a-b")
    assert os.listdir(tmp_path) == ["file"]


def test_a_store_is_known_by_its_marker_or_by_its_stages(tmp_path):
    make_store(tmp_path / "new")
    (tmp_path / "older" / "store" / "0123456789abcdef" / "checkpoints").mkdir(parents=True)
    (tmp_path / "other" / "store" / "0123456789abcdef").mkdir(parents=True)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "store").touch()
    found = [root_with_store(tmp_path / name / "run") for name in ("new", "older", "other", "file")]
    assert found == [tmp_path / "new", tmp_path / "older", None, None]


def test_a_store_far_above_is_not_that_of_a_run(tmp_path):
    make_store(tmp_path)
    assert root_with_store(tmp_path / "data" / "pair" / "run") == tmp_path
    assert root_with_store(tmp_path / "1" / "2" / "3" / "4" / "5" / "6" / "run") is None
