"""Causes of failed decoding processes, and shortages of the machine while images are decoded."""

import errno
import os
import signal

import pytest
import torch

from kdrun.data import decoding
from kdrun.data.lost_workers import failed, named_failures
from kdrun.errors import DataError

from .conftest import write_pictures
from .test_folder_split import make_split

TORCH = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
SHM = RuntimeError(
    "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
)


@pytest.mark.parametrize(
    ("error", "codes", "words"),
    [
        (TORCH, [None, -signal.SIGKILL], "memory ran out; set train.workers lower"),
        (TORCH, [-signal.SIGBUS], "/dev/shm is full; enlarge it"),
        (TORCH, [0, None, -signal.SIGSEGV], "crashed in a library"),
        (TORCH, [-signal.SIGTERM], "ended by another program"),
        (TORCH, [-signal.SIGILL], "ended by SIGILL; set train.workers lower"),
        (TORCH, [-250], "ended by signal 250"),
        (TORCH, [3], "exited with code 3, its messages are above"),
        (TORCH, [None], "(pid(s) 7) exited unexpectedly; set train.workers lower"),
        (EOFError(), [-signal.SIGKILL], "memory ran out"),
        (SHM, [None], "/dev/shm is full; enlarge it"),
        (OSError(errno.ENOSPC, "No space left"), [], "/dev/shm is full"),
        (OSError(errno.EMFILE, "Too many open files"), [], "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "try again"), [], "ulimit -u"),
        (OSError(errno.ENOMEM, "no memory"), [], "memory ran out"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), [None], "ConnectionResetError"),
    ],
)
def test_the_cause_is_named_with_the_way_out(error, codes, words):
    line = failed(error, codes)
    assert "\n" not in line
    assert line.startswith("an image-decoding worker process failed: ")
    assert words in line
    assert "train.workers" in line or "kdrun resume" in line


def test_workers_that_cannot_start_are_told():
    class Loader:
        def __iter__(self):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with pytest.raises(DataError, match="no more processes are allowed"):
        list(named_failures(Loader()))


def test_errors_of_another_kind_are_passed_on():
    def loader():
        raise RuntimeError("a bug")
        yield

    with pytest.raises(RuntimeError, match="a bug"):
        list(named_failures(loader()))


def test_a_worker_without_shared_memory_answers_with_the_cause(tmp_path, monkeypatch):
    """Without its own handling torch would lose the answer, and the run would wait forever."""
    write_pictures(tmp_path, {"train": 1, "val": 1})
    images = make_split(tmp_path)._images

    def full(tensor):
        raise SHM

    monkeypatch.setattr(decoding, "get_worker_info", object)
    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    for augment in ("none", "crop"):
        answer = images[decoding.Request([0, 1], augment, [0, 1])]
        assert not answer.unreadable
        assert answer.text.startswith("an image-decoding worker process failed: /dev/shm is full")


def test_a_worker_answers_in_shared_memory_and_this_process_does_not(tmp_path, monkeypatch):
    write_pictures(tmp_path, {"train": 1, "val": 1})
    images = make_split(tmp_path)._images
    request = decoding.Request([0, 1], "none", [0, 1])
    plain = images[request]
    assert not plain[0].is_shared()
    monkeypatch.setattr(decoding, "get_worker_info", object)
    shared = images[request]
    assert all(tensor.is_shared() for tensor in shared)
    assert torch.equal(plain[0], shared[0])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "cannot be decoded now: memory ran out"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "cannot be decoded now: too many files"),
        (OSError(errno.EIO, "Input/output error", "x"), r"not a readable image \(Input/output er"),
        (OSError("image file is truncated"), r"not a readable image \(OSError: image file is trun"),
    ],
)
def test_a_shortage_of_the_machine_does_not_blame_the_image(tmp_path, monkeypatch, error, words):
    write_pictures(tmp_path, {"train": 1, "val": 1})

    def read(*_):
        raise error

    monkeypatch.setattr(decoding, "read_rgb", read)
    with pytest.raises(DataError, match=words):
        next(make_split(tmp_path).batches(1))
