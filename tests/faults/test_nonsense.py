"""Sealed nonsense: one line that says what is wrong, or the right result."""

import pytest

from tests.faults.test_crash_matrix import command


def test_a_run_with_sealed_nonsense_gives_the_right_result_or_one_line():
    done = command("tests.faults.nonsense", "--trials", "12")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 taken wrongly" in done.stdout


@pytest.mark.slow
def test_more_nonsense():
    done = command("tests.faults.nonsense", "--trials", "150", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
