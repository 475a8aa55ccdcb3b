"""Files that are whole or absent."""

import errno
import math
import os
from pathlib import Path

import pytest

from kdrun.errors import DamagedError, OutputError
from kdrun.store.files import (
    append_text,
    read_json,
    read_json_lines,
    strict,
    write_atomic,
    write_json,
    write_json_lines,
)


def test_an_atomic_write_replaces_the_content_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_system_that_takes_nothing_is_told(tmp_path, monkeypatch):
    def read_only(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(OutputError, match=r"cannot write .*Read-only file system"):
        write_atomic(tmp_path / "file", b"new")


def test_numbers_that_json_lacks_become_words():
    inner = {"a": [math.inf, (0.5, -math.inf)], 1: math.nan, "b": None}
    assert strict(inner) == {"a": ["inf", [0.5, "-inf"]], "1": "nan", "b": None}


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})


def test_damaged_json_is_told_with_its_path(tmp_path):
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(DamagedError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")


def test_json_lines_come_back_as_written(tmp_path):
    lines = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    write_json_lines(tmp_path / "m.jsonl", lines)
    assert read_json_lines(tmp_path / "m.jsonl") == lines
    assert read_json_lines(tmp_path / "none.jsonl") == []


def test_nothing_is_appended_to_a_file_that_has_another_name(tmp_path):
    (tmp_path / "diary.txt").write_text("mine\n")
    os.link(tmp_path / "diary.txt", tmp_path / "run.log")
    with pytest.raises(OutputError, match=r"run\.log: is a hard link"):
        append_text(tmp_path / "run.log", "theirs\n")
    assert (tmp_path / "diary.txt").read_text() == "mine\n"
