"""Damaged files and broken disks: the right result, or one line that says what is wrong."""

import pytest

from tests.faults.disk import NOT_PERMITTED
from tests.faults.test_crash_matrix import command


def test_a_run_with_a_damaged_file_gives_the_right_result_or_one_line():
    done = command("tests.faults.damage", "--places", "12")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 taken wrongly" in done.stdout


@pytest.mark.slow
def test_more_damaged_places():
    done = command("tests.faults.damage", "--places", "40", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_disk_that_fails_from_some_write_on_is_told_and_loses_nothing():
    done = command("tests.faults.disk", "--trials", "4")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_file_system_that_is_full_then_read_only_loses_nothing():
    done = command("tests.faults.disk", "--tmpfs")
    if done.returncode == NOT_PERMITTED:
        pytest.skip("a file system may not be mounted here")
    assert done.returncode == 0, done.stdout + done.stderr
