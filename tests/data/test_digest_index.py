import os
import threading
from pathlib import Path

import numpy as np
import pytest

from kdrun.data.digest_index import RECORD, DigestIndex, path_keys
from kdrun.errors import OutputError

GENERATOR = np.random.default_rng(0)


def files(count, first=0):
    paths = np.array([f"train/a/{number}.png".encode() for number in range(first, first + count)])
    stamps = GENERATOR.integers(0, 2**62, (count, 4))
    return paths, stamps, GENERATOR.integers(0, 256, (count, 32), np.uint8)


@pytest.fixture
def index(tmp_path):
    return DigestIndex("/pictures", tmp_path / "index")


def loaded(tmp_path):
    index = DigestIndex("/pictures", tmp_path / "index")
    return index, index.load()


def test_digests_are_found_again_in_any_order(tmp_path, index):
    paths, stamps, digests = files(50)
    assert index.append(paths[:20], stamps[:20], digests[:20]) is None
    assert index.append(paths[20:40], stamps[20:40], digests[20:40]) is None
    again, trouble = loaded(tmp_path)
    assert trouble is None
    order = GENERATOR.permutation(50)
    places, found = again.find(paths[order], stamps[order])
    assert places.tolist() == np.flatnonzero(order < 40).tolist()
    assert np.array_equal(found, digests[order[places]])


@pytest.mark.parametrize("column", range(4), ids=["size", "modified", "changed", "inode"])
def test_a_file_with_another_stamp_is_not_known(tmp_path, index, column):
    paths, stamps, digests = files(3)
    index.append(paths, stamps, digests)
    stamps[1, column] += 1
    assert loaded(tmp_path)[0].find(paths, stamps)[0].tolist() == [0, 2]


def test_the_later_record_of_a_file_counts(tmp_path, index):
    paths, stamps, digests = files(2)
    index.append(paths, stamps, digests[::-1])
    index.append(paths, stamps, digests)
    assert np.array_equal(loaded(tmp_path)[0].find(paths, stamps)[1], digests)


def test_roots_have_an_index_each(tmp_path, index):
    assert DigestIndex("/others", tmp_path / "index").path != index.path


def test_each_damaged_byte_costs_the_digest_of_one_file_at_most(tmp_path, index):
    paths, stamps, digests = files(3)
    index.append(paths, stamps, digests)
    content = index.path.read_bytes()
    assert len(content) == 3 * RECORD.itemsize
    for place in range(0, len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        index.path.write_bytes(damaged)
        places, found = loaded(tmp_path)[0].find(paths, stamps)
        assert places.tolist() == [n for n in range(3) if n != place // RECORD.itemsize]
        assert np.array_equal(found, digests[places])


@pytest.mark.parametrize("length", [0, 1, 79, 80, 81, 200])
def test_after_a_cut_off_record_the_next_ones_are_whole(tmp_path, index, length):
    paths, stamps, digests = files(4)
    index.append(paths[:3], stamps[:3], digests[:3])
    index.path.write_bytes(index.path.read_bytes()[:length])
    index.append(paths[3:], stamps[3:], digests[3:])
    whole = length // RECORD.itemsize
    assert loaded(tmp_path)[0].find(paths, stamps)[0].tolist() == [*range(whole), 3]


def test_two_writers_at_once_lose_nothing(tmp_path, index):
    groups = [files(20, first=20 * number) for number in range(40)]
    halves = [groups[::2], groups[1::2]]

    def write(half):
        own = DigestIndex("/pictures", tmp_path / "index")
        for group in half:
            assert own.append(*group) is None

    threads = [threading.Thread(target=write, args=(half,)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again, _ = loaded(tmp_path)
    for paths, stamps, digests in groups:
        assert np.array_equal(again.find(paths, stamps)[1], digests)


def test_an_index_of_mostly_stale_records_is_written_again(tmp_path, index, monkeypatch):
    monkeypatch.setattr("kdrun.data.digest_index.STALE", 10)
    paths, stamps, digests = files(5)
    for _ in range(5):
        index.append(paths, stamps, digests)
    again, trouble = loaded(tmp_path)
    assert trouble is None
    assert index.path.stat().st_size == 5 * RECORD.itemsize
    assert np.array_equal(again.find(paths, stamps)[1], digests)


@pytest.mark.parametrize(
    "error", [OutputError("cannot write it: no space left"), OSError("a broken disk")]
)
def test_an_index_that_cannot_be_written_again_is_told_and_read(
    tmp_path, index, monkeypatch, error
):
    def fail(path, content):
        raise error

    monkeypatch.setattr("kdrun.data.digest_index.STALE", 10)
    monkeypatch.setattr("kdrun.data.digest_index.write_atomic", fail)
    paths, stamps, digests = files(5)
    for _ in range(5):
        index.append(paths, stamps, digests)
    again, trouble = loaded(tmp_path)
    assert trouble == f"{type(error).__name__}: {error}"
    assert np.array_equal(again.find(paths, stamps)[1], digests)


def as_link(path: Path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_pipe(path: Path):
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [as_link, as_pipe, as_folder])
def test_what_is_no_file_of_its_own_is_neither_believed_nor_written(tmp_path, index, harm):
    paths, stamps, digests = files(2)
    index.append(paths, stamps, digests)
    harm(index.path)
    again, trouble = loaded(tmp_path)
    assert trouble
    assert len(again.find(paths, stamps)[0]) == 0
    before = (tmp_path / "index" / "elsewhere").read_bytes() if harm is as_link else b""
    assert again.append(paths, stamps, digests)
    if harm is as_link:
        assert (tmp_path / "index" / "elsewhere").read_bytes() == before


def test_random_bytes_are_no_records(tmp_path, index):
    index.path.parent.mkdir()
    index.path.write_bytes(GENERATOR.bytes(80_013))
    again, trouble = loaded(tmp_path)
    assert trouble is None
    assert len(again._records) == 0


def test_paths_of_any_bytes_have_keys_of_their_own():
    paths = np.array([b"a", b"b", b"a\xff", "ä".encode(), b"a/b"])
    assert len(set(path_keys(paths).tolist())) == 5
