"""Folders are made and cleaned below their root alone, and what fails is told with code 6."""

import errno
import os
from pathlib import Path

import pytest

from kdrun.errors import OutputError
from kdrun.store.files import cannot_write, write_atomic
from kdrun.store.folders import (
    folder_lock,
    make_folder,
    refuse_links,
    remove_file,
    remove_leftovers,
    rename,
)


@pytest.mark.parametrize("level", ["a", "a/b", "a/b/c"])
def test_a_link_at_any_level_is_refused_and_told_with_a_remedy(tmp_path, level):
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (root / level).parent.mkdir(parents=True)
    (root / level).symlink_to(outside)
    with pytest.raises(OutputError, match=rf"{level}: is a link.*output_root="):
        make_folder(root / "a" / "b" / "c", root)
    assert os.listdir(outside) == []


def test_above_the_root_links_are_a_matter_of_the_user(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to("disk")
    make_folder(tmp_path / "root" / "a", tmp_path / "root")
    assert (tmp_path / "disk" / "a").is_dir()


def failing(path, *_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_removing_and_renaming_that_fail_have_the_code_of_output(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "unlink", failing)
    monkeypatch.setattr(Path, "rename", failing)
    (tmp_path / ".tmp-1-x").touch()
    for work in (
        lambda: remove_file(tmp_path / "x"),
        lambda: rename(tmp_path / "x", tmp_path / "y"),
        lambda: remove_leftovers(tmp_path),
    ):
        with pytest.raises(OutputError, match="Permission denied") as raised:
            work()
        assert raised.value.code == 6


def test_leftovers_of_others_stay_as_long_as_they_may_be_written(tmp_path):
    old, new = tmp_path / ".tmp-1-x", tmp_path / ".tmp-2-x"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path, age=60)
    assert os.listdir(tmp_path) == [new.name]
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_temporary_file_that_was_laid_out_as_a_link_is_not_written_through(tmp_path, monkeypatch):
    (tmp_path / "precious").write_text("kept")
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (tmp_path / ".tmp-guessed-x").symlink_to("precious")
    with pytest.raises(OutputError, match="File exists"):
        write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "precious").read_text() == "kept"


def test_special_files_in_a_run_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="neither a file nor a folder"):
        refuse_links(tmp_path)


def test_used_up_inodes_are_told_as_such(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "bytes needed" in str(cannot_write(tmp_path / "x", full, 10))
    values = list(os.statvfs(tmp_path))
    values[5], values[7] = 100, 0  # f_files, f_favail
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))
    assert "no inodes are free" in str(cannot_write(tmp_path / "x", full, 10))
    assert "no inodes are free" in str(cannot_write(tmp_path / "x", full))


def test_a_lock_that_is_a_hard_link_empties_nothing(tmp_path):
    (tmp_path / "diary.txt").write_text("mine")
    os.link(tmp_path / "diary.txt", tmp_path / ".lock")
    with pytest.raises(OutputError, match="hard link"):
        folder_lock(tmp_path)
    assert (tmp_path / "diary.txt").read_text() == "mine"
