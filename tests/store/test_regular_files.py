"""Only regular files are read, and nothing hangs."""

import os
import socket

import pytest

from kdrun.errors import DamagedError
from kdrun.store.files import check_files, read_json, read_json_lines, read_sealed, read_yaml
from kdrun.store.regular_files import read_regular


def test_a_regular_file_is_read(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    assert read_regular(tmp_path / "x") == b"content"


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link", "folder"])
def test_whatever_else_is_refused_at_once_by_every_reader(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind("x")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else __file__)
    for read in (read_json, read_sealed, read_yaml, read_json_lines):
        with pytest.raises(DamagedError, match="x is damaged: "):
            read(path)
    with pytest.raises(DamagedError, match="x is damaged: "):
        check_files(tmp_path, {"x": {}})
