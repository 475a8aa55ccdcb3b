"""The store: hashes, locks, and the mark of a finished stage."""

import multiprocessing
import os
import time

import pytest

from kdrun.errors import DamagedError, OutputError
from kdrun.store.run_folder import new_run_folder, occupied, refuse_existing
from kdrun.store.stages import finish, finished, locked, set_aside, stage_hash


def test_the_hash_ignores_the_order_of_keys():
    assert stage_hash({"a": 1, "b": [2]}) == stage_hash({"b": [2], "a": 1})
    assert stage_hash({"a": 1}) != stage_hash({"a": 2})


def test_a_stage_is_finished_when_its_summary_is_there(tmp_path):
    assert finished(tmp_path) is None
    (tmp_path / "best.safetensors").write_bytes(b"weights")
    summary = finish(tmp_path, {"format": 1})
    assert finished(tmp_path) == summary
    assert list(summary["files"]) == ["best.safetensors"]


@pytest.mark.parametrize("name", ["best.safetensors", "summary.json"])
def test_a_stage_with_a_changed_bit_is_damaged_and_is_set_aside_whole(tmp_path, name):
    (tmp_path / "best.safetensors").write_bytes(b"weights")
    finish(tmp_path, {"accuracy": 0.75})
    content = (tmp_path / name).read_bytes().replace(b"weights", b"weighty")
    (tmp_path / name).write_bytes(content.replace(b"0.75", b"0.85"))
    with pytest.raises(DamagedError, match="checksum differs"):
        finished(tmp_path)
    aside = set_aside(tmp_path)
    assert finished(tmp_path) is None
    assert sorted(os.listdir(aside)) == ["best.safetensors", "summary.json"]


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
    with pytest.raises(OutputError, match="holds a run already; 'kdrun resume"):
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
