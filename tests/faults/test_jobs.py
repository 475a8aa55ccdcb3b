"""Jobs of a sweep in their processes: what ends them is told and ends nothing else."""

import os
import signal
import threading
import time

import pytest

from kdrun.errors import Stopped
from kdrun.runs.sweep.child_process import run_in_child
from kdrun.runs.sweep.sweep import close_sweep, in_own_process
from kdrun.store.files import read_json, write_yaml
from tests.faults import works


@pytest.mark.parametrize(
    ("work", "argument", "code", "reason"),
    [
        (
            works.kill,
            None,
            137,
            "its process was killed by SIGKILL, perhaps because memory ran out",
        ),
        (works.leave, 3, 70, "its process exited with code 3"),
        (works.fail, "no reason", 70, "ZeroDivisionError: no reason"),
    ],
)
def test_a_job_that_dies_is_told_in_its_status_the_table_and_the_code(
    tmp_path, capfd, work, argument, code, reason
):
    folder = tmp_path / "0"
    folder.mkdir()
    write_yaml(folder / "overrides.yaml", ["loss.T=1"])
    in_own_process(folder, work, () if argument is None else (argument,))
    status = read_json(folder / "status.json")
    assert (status["status"], status["error"]) == ("failed", {"code": code, "message": reason})
    with pytest.raises(SystemExit) as left:
        close_sweep(tmp_path)
    assert left.value.code == code
    assert f"failed: {reason[:20]}" in " ".join(capfd.readouterr().out.split())


def test_a_job_killed_in_lockstep_names_the_setting_that_needs_less(tmp_path):
    write_yaml(tmp_path / "config.yaml", {"train": {"lockstep": 4}})
    in_own_process(tmp_path, works.kill, ())
    reason = read_json(tmp_path / "status.json")["error"]["message"]
    assert reason.endswith("memory ran out (train.lockstep=4: fewer at once need less)")


def test_what_a_job_failed_with_before_is_not_told_again(tmp_path):
    in_own_process(tmp_path, works.fail, ("no reason",))
    in_own_process(tmp_path, works.leave, (3,))
    reason = read_json(tmp_path / "status.json")["error"]["message"]
    assert reason == "its process exited with code 3"


@pytest.fixture
def send(tmp_path):
    """Send this process signals once the job works."""
    threads = []

    def send(*numbers):
        def wait_and_send():
            until = time.monotonic() + 60
            while not (tmp_path / "working").exists() and time.monotonic() < until:
                time.sleep(0.01)
            for number in numbers:
                os.kill(os.getpid(), number)
                time.sleep(0.1)

        threads.append(threading.Thread(target=wait_and_send))
        threads[0].start()

    yield send
    threads[0].join()


@pytest.fixture
def launcher():
    """A launcher's handlers, which note the signals that they are given."""
    received = []
    numbers = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
    before = {n: signal.signal(n, lambda n, frame: received.append(n)) for n in numbers}
    yield received
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_launchers_handler_is_called_after_the_job_has_stopped(tmp_path, send, launcher):
    stopped = []

    def handler(number, frame):
        stopped.append((tmp_path / "stopped").exists())

    signal.signal(signal.SIGUSR1, handler)
    send(signal.SIGUSR1)
    child = run_in_child(works.stop_when_told, (tmp_path,))
    assert stopped == [True]
    assert (child.code, child.signal) == (0, signal.SIGUSR1)


def test_a_job_told_to_stop_ends_the_sweep_resumably(tmp_path, send, launcher):
    send(signal.SIGTERM)
    with pytest.raises(Stopped, match=r"stopped in job .*; 'kdrun resume .*' continues"):
        in_own_process(tmp_path, works.stop_when_told, (tmp_path,))
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)]
)
def test_a_second_signal_leaves_at_once_with_its_code(tmp_path, send, launcher, first, second):
    send(first, second)
    began = time.monotonic()
    with pytest.raises(SystemExit) as left:
        in_own_process(tmp_path, works.stop_never, (tmp_path,))
    assert left.value.code == 128 + second
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sent_while_a_job_starts_ends_it_without_a_traceback(
    launcher, monkeypatch, capfd, number
):
    import multiprocessing.process

    real = multiprocessing.process.BaseProcess.start

    def start(process):
        os.kill(os.getpid(), number)
        real(process)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", start)
    child = run_in_child(works.look_for_no_signal, ())
    assert (child.signal, child.code) == (number, Stopped.code)
    assert launcher == [number]
    assert "Traceback" not in capfd.readouterr().err
