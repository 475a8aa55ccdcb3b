"""Decoding processes end with their run, however it ends, and say nothing at Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = """
import sys, time
from multiprocessing import forkserver, resource_tracker
from kdrun.signals import stop_requests
from tests.data.test_folder_split import make_split

if __name__ == "__main__":
    split = make_split(sys.argv[1], workers=2)
    with stop_requests() as stop:
        print("starts", flush=True)
        list(split.batches(2))
        workers = [worker.pid for worker in split._loader._iterator._workers]
        helpers = [forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid]
        print(*workers, *helpers, flush=True)
        while sys.argv[2] == "deaf" or not stop:
            time.sleep(0.05)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")


@pytest.fixture
def start(pictures, tmp_path):
    """Start a process that decodes with two workers, in a group of its own."""
    (tmp_path / "script.py").write_text(RUN)
    started = []

    def start(manner):
        command = [sys.executable, str(tmp_path / "script.py"), str(pictures), manner]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == "starts\n"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def alive(pids):
    return [pid for pid in pids if state(pid) not in ("", "Z", "X")]


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def left_after(pids, seconds=30):
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive(pids)


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGTERM] * 2], ids=str)
def test_no_process_outlives_a_run_that_is_killed(start, signals):
    process = start("deaf")
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 4
    assert alive(pids) == pids
    for number in signals:
        os.kill(process.pid, number)
        time.sleep(0.3)  # of two signals that wait, the second is lost
    assert process.wait(20) in (-signal.SIGKILL, 128 + signal.SIGTERM)
    assert left_after(pids) == []


def test_an_interrupt_while_workers_start_is_answered_without_a_traceback(start):
    process = start("listening")
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in told
    assert "KeyboardInterrupt" not in told
