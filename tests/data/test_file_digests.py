import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from kdrun.data import file_digests, hashing_progress
from kdrun.data.file_digests import with_digests
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.errors import DataError, Stopped

from .conftest import write_pictures


def parts_of(root):
    source = read_class_folders("imagefolder", str(root))
    return [source.train, source.test]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Pictures that count as settled, so that they enter the index at once."""
    monkeypatch.setattr(file_digests, "SETTLED", -(10**12))
    return write_pictures(tmp_path / "pictures", {"train": 3, "val": 2})


@pytest.fixture
def read_files(monkeypatch):
    """The files that are read."""
    seen = []
    plain = file_digests.hash_file

    def hash_file(path, halt):
        seen.append(path)
        return plain(path, halt)

    monkeypatch.setattr(file_digests, "hash_file", hash_file)
    return seen


def digests_of(parts, folder, stop=None, say=print):
    return [part.digests for part in with_digests(parts, stop, say, folder)]


def expected(parts):
    return [
        [
            hashlib.sha256(open(f"{part.root}/{path.decode()}", "rb").read()).digest()
            for path in part.paths
        ]
        for part in parts
    ]


def as_bytes(digests):
    return [[row.tobytes() for row in part] for part in digests]


def test_digests_are_the_sha256_of_the_files(root, tmp_path):
    parts = parts_of(root)
    assert as_bytes(digests_of(parts, tmp_path)) == expected(parts)


def test_each_file_is_read_once(root, tmp_path, read_files):
    first = digests_of(parts_of(root), tmp_path)
    assert len(read_files) == len(set(read_files)) == 15
    again = digests_of(parts_of(root), tmp_path)
    assert len(read_files) == 15
    assert as_bytes(first) == as_bytes(again)


def test_a_file_changed_in_place_is_read_again_also_with_its_times_put_back(
    root, tmp_path, read_files
):
    digests_of(parts_of(root), tmp_path)
    file = root / "train" / "cat" / "1.jpg"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    with file.open("r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    read_files.clear()
    parts = parts_of(root)
    assert as_bytes(digests_of(parts, tmp_path)) == expected(parts)
    assert read_files == [str(file)]


def test_files_that_exchange_names_are_read_again(root, tmp_path, read_files):
    digests_of(parts_of(root), tmp_path)
    one, other = root / "train" / "cat" / "1.jpg", root / "train" / "dog" / "1.jpg"
    one.rename(root / "spare")
    other.rename(one)
    (root / "spare").rename(other)
    parts = parts_of(root)
    assert as_bytes(digests_of(parts, tmp_path)) == expected(parts)


def test_a_file_written_a_moment_ago_is_read_again(root, tmp_path, read_files, monkeypatch):
    monkeypatch.setattr(file_digests, "SETTLED", 10**12)
    digests_of(parts_of(root), tmp_path)
    digests_of(parts_of(root), tmp_path)
    assert len(read_files) == 30


def test_what_was_read_before_a_stop_is_not_read_again(root, tmp_path, read_files, monkeypatch):
    monkeypatch.setattr(file_digests, "GROUP", 2)
    monkeypatch.setattr(file_digests, "thread_count", lambda: 1)

    class AfterFive:
        asked = True

        def __bool__(self):
            return len(read_files) > 5

    with pytest.raises(Stopped, match="the next run continues from there"):
        digests_of(parts_of(root), tmp_path, AfterFive())
    begun = len(read_files)
    assert 5 < begun < 15
    digests_of(parts_of(root), tmp_path)
    assert len(read_files) <= begun + 15 - 5


def test_a_file_that_changes_while_it_is_read_is_refused(root, tmp_path, monkeypatch):
    file = root / "val" / "dog" / "0.jpg"
    plain = os.fstat
    seen = []

    def fstat(descriptor):
        status = plain(descriptor)
        if status.st_ino == file.stat().st_ino:
            seen.append(status)
            if len(seen) == 2:  # the check of its kind comes first
                with file.open("ab") as opened:
                    opened.write(b"more")
        return status

    monkeypatch.setattr(file_digests.os, "fstat", fstat)
    with pytest.raises(DataError, match=r"val/dog/0\.jpg: changed while it was read"):
        digests_of(parts_of(root), tmp_path)


def test_all_files_that_cannot_be_read_are_named_at_once(root, tmp_path):
    parts = parts_of(root)
    for name in ("bird/2.jpg", "dog/0.jpg"):
        (root / "train" / name).unlink()
    with pytest.raises(DataError, match=r"bird/2\.jpg: No such file.*remove it"):
        digests_of(parts, tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_becomes_no_file_is_refused_and_does_not_hang(root, tmp_path, kind):
    parts = parts_of(root)
    file = root / "train" / "cat" / "0.jpg"
    file.unlink()
    os.mkfifo(file) if kind == "pipe" else file.mkdir()
    with pytest.raises(DataError, match=r"cat/0\.jpg: a (named pipe|folder), not an image file"):
        digests_of(parts, tmp_path)


def test_an_index_that_cannot_be_kept_is_told_and_costs_nothing_else(root, tmp_path):
    parts, lines = parts_of(root), []
    (tmp_path / "file").write_text("in the way")
    digests = digests_of(parts, tmp_path / "file" / "index", say=lines.append)
    assert as_bytes(digests) == expected(parts)
    assert len(lines) == 1
    assert "cannot keep the digests" in lines[0]
    assert "KDRUN_CACHE" in lines[0]


def test_progress_is_told_where_it_takes_long(root, tmp_path, monkeypatch):
    monkeypatch.setattr(hashing_progress, "FIRST_WORD", 0.0)
    monkeypatch.setattr(file_digests, "GROUP", 4)
    lines = []
    digests_of(parts_of(root), tmp_path, say=lines.append)
    assert lines[0].startswith("the images are read once")
    assert "of 15 images" in lines[1]
    assert lines[-1].startswith("read 15 images in ")


def test_progress_is_told_in_the_middle_of_one_large_file(root, tmp_path, monkeypatch):
    monkeypatch.setattr(hashing_progress, "FIRST_WORD", 0.0)
    monkeypatch.setattr(hashing_progress, "NEXT_WORD", 0.0)
    plain = file_digests.hash_file

    def slow(path, halt):
        if path.endswith("train/cat/0.jpg"):
            halt.read += 5_000_000_000
            time.sleep(1.5)
        return plain(path, halt)

    monkeypatch.setattr(file_digests, "hash_file", slow)
    lines = []
    digests_of(parts_of(root)[:1], tmp_path, say=lines.append)
    assert any(line.startswith("read 0 of 9 images, 5.00 of") for line in lines)


def test_nothing_is_told_where_it_is_quick(root, tmp_path):
    lines = []
    digests_of(parts_of(root), tmp_path, say=lines.append)
    assert lines == []


HASH_ENDLESSLY = """
import sys
from kdrun.data import file_digests, hashing_progress
from kdrun.data.readers.image_folders import read_class_folders
from kdrun.errors import Stopped
from kdrun.signals import stop_requests

def endless(path, halt):
    while not halt:
        pass
    return None

file_digests.hash_file = endless
source = read_class_folders("imagefolder", sys.argv[1])
with stop_requests() as stop:
    print("reads", flush=True)
    try:
        file_digests.with_digests([source.train], stop, print)
    except Stopped as error:
        print(error)
"""


def test_an_interrupt_is_answered_at_once(root):
    process = subprocess.Popen(
        [sys.executable, "-c", HASH_ENDLESSLY, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "reads\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=10)
    assert told.startswith("stopped while hashing the images")
    assert process.returncode == 0


def test_digests_follow_the_images_that_are_taken(root, tmp_path):
    (train, _) = with_digests(parts_of(root), None, print, tmp_path)
    taken = train.take(np.array([4, 1]))
    assert np.array_equal(taken.digests, train.digests[[4, 1]])
    assert taken.slim().digests.tolist() == taken.digests[:, :16].tolist()
