"""Standard streams whose reader leaves, that were closed, or whose disk is full."""

import io
import os
import subprocess
import sys

import pytest

from kdrun.loggers import streams

PROGRAM = """
import sys
from kdrun.loggers.streams import lost_output, outlive_readers
outlive_readers()
for number in range(20_000):
    print("line", number)
print(len(open("/dev/null").read()), file=sys.stderr)
with open("done", "w") as file:
    file.write(f"{file.fileno() > 2} {lost_output()}")
"""


def ending(folder, **given):
    """What a program with this console writes to its file at the end."""
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, check=True, timeout=60, **given)
    return (folder / "done").read_text()


def test_a_reader_that_leaves_does_not_end_the_work(tmp_path):
    read, write = os.pipe()
    os.close(read)
    assert ending(tmp_path, stdout=write, stderr=write) == "True None"
    os.close(write)


def test_closed_streams_are_not_replaced_by_the_next_file(tmp_path):
    closed = [sys.executable, "-c", PROGRAM]
    line = '"$0" -c "$1" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", line, closed[0], PROGRAM], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "done").read_text() == "True None"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_under_stdout_is_known_at_the_end(tmp_path):
    with open("/dev/full", "w") as full:
        assert "No space left" in ending(tmp_path, stdout=full)


def test_whoever_replaces_the_streams_keeps_them(monkeypatch):
    replaced = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", replaced)
    streams.outlive_readers()
    assert sys.stdout is replaced
    assert streams.output_error() is streams.lost_output() is None
