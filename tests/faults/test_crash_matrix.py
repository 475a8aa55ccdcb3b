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
