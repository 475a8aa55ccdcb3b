"""The beginning and the end of a sweep: what fails there is raised, not warned of."""

import errno
import os
import warnings

import cloudpickle
import pytest

from kdrun.errors import OutputError
from kdrun.runs.sweep import begin, hydra_callback, sweep
from kdrun.store import run_folder
from kdrun.store.files import read_json
from kdrun.store.run_folder import occupied
from kdrun.store.sweep_folder import begin_sweep
from tests.runs.sweep.test_sweep import main_code

WORDS = ("-m", "loss.T=0,-1", "hydra.sweep.dir=sw")
"""A sweep whose jobs fail as soon as they are composed."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "PATIENCE", 0.1)
    # The jobs fail quickly once they begin, for what is otherwise found before.
    monkeypatch.setattr(begin, "check_jobs", lambda config, jobs: None)
    return tmp_path


def one_line(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("jobs", "told"),
    [([["loss.T=0"], ["loss.T=-1"]], "holds this sweep"), ([["loss.T=4"]], "holds another sweep")],
)
def test_a_sweep_on_a_sweep_is_refused_before_anything_is_written(here, capsys, jobs, told):
    begin_sweep(here / "sw", [], jobs)
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert main_code(WORDS) == 6
    assert f"{told} already; resume it with 'kdrun resume sw'" in one_line(capsys)
    after = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert {path: content for path, content in after.items() if path.name != ".lock"} == before


@pytest.mark.parametrize("words", [WORDS, ("hydra.run.dir=sw",)])
def test_nothing_begins_in_the_folder_of_a_sweep(here, capsys, words):
    begin_sweep(here / "sw", [], None)
    assert main_code(words) == 6
    assert "sweep already; resume it with 'kdrun resume " in one_line(capsys)
    assert not list((here / "sw").glob("*.json"))


def test_a_sweep_whose_folder_is_in_use_starts_no_job(here, capsys):
    with occupied(here / "sw"):
        assert main_code(WORDS) == 6
    assert "sw: in use by another process" in one_line(capsys)
    assert not (here / "sw" / "0").exists()
    assert main_code(WORDS) == 2  # the jobs' own code, now that the folder is free


def test_a_resumed_sweep_leaves_a_running_one_alone(here, capsys):
    with occupied(here / "sw"):
        begin_sweep(here / "sw", [], [["loss.T=0"]])
        assert main_code(["resume", "sw"]) == 6
    assert "in use by another process" in one_line(capsys)
    assert not (here / "sw" / "0").exists()


def test_the_folder_is_free_after_the_sweep(here):
    assert main_code(WORDS) == 2
    with occupied(here / "sw"):
        pass


def test_a_table_that_cannot_be_written_is_told_by_the_code(here, capsys, monkeypatch):
    def full(path, content):
        raise OutputError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(sweep, "write_sealed", full)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main_code(WORDS) == 6
    assert "sweep.json: No space left" in capsys.readouterr().err.splitlines()[-1]


def test_a_bug_in_a_callback_is_no_success(here, capsys, monkeypatch):
    def broken(folder, config_dir, broken_by=None):
        raise ZeroDivisionError("no jobs")

    monkeypatch.setattr(sweep, "close_sweep", broken)
    assert main_code(WORDS) == 70
    assert "internal error: ZeroDivisionError: no jobs" in capsys.readouterr().err


def test_a_process_that_cannot_be_started_is_a_failed_job(here, capsys, monkeypatch):
    def refused(target, arguments):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(sweep, "run_in_child", refused)
    assert main_code(["-m", "loss.T=1,2", "hydra.sweep.dir=sw"]) == 6
    jobs = read_json(here / "sw" / "sweep.json")["jobs"]
    assert [job["status"] for job in jobs] == ["failed", "failed"]
    assert all("its process cannot be started" in job["error"] for job in jobs)


def test_a_job_that_cannot_be_recorded_is_told_in_the_end(here, capsys, monkeypatch):
    def full(path, content):
        raise OutputError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(sweep, "write_yaml", full)
    monkeypatch.setattr(sweep.Status, "write", lambda status, *given: full(status.path, given))
    assert main_code(WORDS) == 6
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]


def test_a_job_folder_that_holds_a_run_is_not_touched(here, capsys, monkeypatch):
    real = hydra_callback.SweepTable.on_multirun_start

    def begun(callback, config, **named):
        real(callback, config, **named)
        (here / "sw" / "0").mkdir()
        (here / "sw" / "0" / "config.yaml").write_text("a: 1\n")

    monkeypatch.setattr(hydra_callback.SweepTable, "on_multirun_start", begun)
    assert main_code(WORDS) == 6
    assert "holds a run already" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in (here / "sw" / "0").iterdir()] == ["config.yaml"]


def test_the_callback_can_be_sent_to_another_process():
    callback = hydra_callback.SweepTable()
    copy = cloudpickle.loads(cloudpickle.dumps(callback))
    assert type(copy) is hydra_callback.SweepTable
