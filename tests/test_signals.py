import signal
import subprocess
import sys
import threading

from kdrun.signals import importing, stop_requests

SWALLOWED = """
import os, signal, sys
from kdrun.signals import importing

with importing():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        pass
    print("went on")
"""


def test_an_import_cannot_swallow_an_interrupt():
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


def test_handlers_are_as_before_after_an_import_and_after_a_run():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with importing():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    with stop_requests() as stop:
        assert signal.getsignal(signal.SIGTERM) == stop.receive
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_importing_and_runs_work_in_threads_that_may_handle_no_signal():
    found = []

    def work():
        with importing(), stop_requests() as stop:
            found.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_the_first_signal_asks():
    with stop_requests() as stop:
        assert not stop
        signal.raise_signal(signal.SIGTERM)
        assert stop
        assert stop.signal == signal.SIGTERM
