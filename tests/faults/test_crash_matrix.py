"""Runs killed at random moments end as if left alone; the matrix by its command is longer."""

import os
import subprocess
import sys

import pytest


def command(module: str, *words: str) -> subprocess.CompletedProcess:
    """Call `python -m module` in a process that has no threads, as forking demands."""
    # Torch in this process may have started threads by now, which a fork would lose.
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


def matrix(*words: str) -> subprocess.CompletedProcess:
    return command("tests.faults.crash_matrix", *words)


def test_runs_killed_at_random_moments_end_as_if_left_alone():
    done = matrix("--kills", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all ended the same" in done.stdout


def test_a_finished_run_that_is_opened_again_and_killed_ends_as_if_left_alone():
    done = matrix("--kind", "raise", "--kills", "3")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("raise", 10), ("analyze", 4), ("export", 6)])
def test_whatever_opens_a_finished_run_can_be_killed(kind, kills):
    done = matrix("--kind", kind, "--kills", str(kills), "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_sweep_and_its_jobs_can_be_killed():
    done = matrix("--kind", "sweep", "--kills", "3")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=none", "student.width=8", "train.optimizer=adamw", "train.accumulate=2"),
        ("teacher.ensemble=[mlp]", "loss=[kd,rkd]", "train.grad_clip=1", "train.mixup=0.2"),
    ],
)
def test_other_plans_too(overrides):
    done = matrix("--kills", "6", "--seed", "1", "--", *overrides)
    assert done.returncode == 0, done.stdout + done.stderr
