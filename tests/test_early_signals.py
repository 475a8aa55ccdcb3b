"""Signals before there is any work: the process leaves at once, resumably."""

import signal
import subprocess
import sys

import pytest

WHILE_IMPORTING = """
import builtins, os, signal
real, number = builtins.__import__, getattr(signal, "{name}")

def importing(name, *given, **named):
    if name == "kdrun.cli.entry":
        os.kill(os.getpid(), number)
    return real(name, *given, **named)

builtins.__import__ = importing
{before}
from kdrun.cli import main
main()
"""


def run(name: str, before: str = "") -> subprocess.CompletedProcess:
    """`kdrun --version`, sent the signal when it begins to import."""
    program = WHILE_IMPORTING.format(name=name, before=before)
    command = [sys.executable, "-c", program, "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_while_it_imports_ends_it_resumably_with_one_line(name):
    done = run(name)
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == f"kdrun: stopped by {name}; run the command again\n"


def test_ctrl_c_while_it_imports_ends_it_without_a_word():
    done = run("SIGINT")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_what_it_was_started_to_ignore_stays_ignored(name):
    done = run(name, before=f"signal.signal(signal.{name}, signal.SIG_IGN)")
    assert (done.returncode, done.stderr) == (0, "")


UNDER_NOHUP = """
import os, signal
from kdrun.signals import stop_requests
with stop_requests() as stop:
    os.kill(os.getpid(), signal.SIGHUP)
    print(bool(stop))
"""


@pytest.mark.parametrize(("ignored", "asked"), [(True, "False"), (False, "True")])
def test_a_hang_up_asks_a_run_to_stop_unless_it_is_ignored(ignored, asked):
    def prepare():
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    done = subprocess.run(
        [sys.executable, "-c", UNDER_NOHUP],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=prepare,
    )
    assert done.stdout.strip() == asked


def test_handlers_are_as_before_after_a_call_from_python():
    numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
    before = [signal.getsignal(number) for number in numbers]
    from kdrun import cli

    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert [signal.getsignal(number) for number in numbers] == before
