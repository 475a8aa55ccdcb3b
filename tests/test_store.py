"""The store: hashes, locks, and the mark of a finished stage."""

import multiprocessing
import os
import time

import pytest

from kdrun.errors import OutputError
from kdrun.files import write_json
from kdrun.run_folder import claim_given_folder, claim_run_folder
from kdrun.store import finished, locked, stage_hash


def test_the_hash_ignores_the_order_of_keys():
    assert stage_hash({"a": 1, "b": [2]}) == stage_hash({"b": [2], "a": 1})
    assert stage_hash({"a": 1}) != stage_hash({"a": 2})


def test_a_stage_is_finished_when_its_summary_is_there(tmp_path):
    assert finished(tmp_path) is None
    write_json(tmp_path / "summary.json", {"format": 1})
    assert finished(tmp_path) == {"format": 1}


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
    folders = {claim_run_folder(tmp_path, "digits", "a-b") for _ in range(50)}
    assert len(folders) == 50


def test_a_folder_that_holds_a_run_is_not_taken_again(tmp_path):
    claim_given_folder(tmp_path / "run")
    with pytest.raises(OutputError, match="holds a run already"):
        claim_given_folder(tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_told_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        claim_run_folder(tmp_path / "file", "digits", "a-b")
    assert os.listdir(tmp_path) == ["file"]
