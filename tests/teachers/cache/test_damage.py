"""Whatever happens to the files: never a wrong row, never an exception."""

import errno
import hashlib
import json
import os
import random
import resource

import numpy as np
import pytest
import torch

from kdrun.store.files import read_json, write_sealed
from kdrun.store.stages import stage_hash
from kdrun.teachers.cache.page_files import Distortion, PageFiles, Seal, write_seal
from tests.teachers.cache.conftest import CLASSES, IMAGES


@pytest.fixture
def filled(make_cache, fill, logits):
    """A cache with a page."""
    cache = make_cache()
    fill(cache, 0, logits)
    return cache


def assert_noticed(make_cache, fill, logits, said):
    """The page is gone, the user knows, and it can be filled again."""
    cache = make_cache()
    assert cache.page(0) is None
    assert len(said) == 1
    assert "computed again" in said[0]
    said.clear()
    page = fill(cache, 0, logits)
    assert torch.equal(page.rows(torch.arange(IMAGES)), cache.as_stored(logits))
    assert said == []


@pytest.mark.parametrize("name", ["00000.rows", "00000.json"])
def test_every_flipped_bit_is_noticed(filled, make_cache, fill, logits, said, name):
    path = filled.folder / name
    choice = random.Random(5)
    for _ in range(100):
        content = bytearray(path.read_bytes())
        content[choice.randrange(len(content))] ^= 1 << choice.randrange(8)
        path.write_bytes(content)
        assert_noticed(make_cache, fill, logits, said)


@pytest.mark.parametrize("name", ["00000.rows", "00000.json"])
def test_every_truncation_is_noticed(filled, make_cache, fill, logits, said, name):
    path = filled.folder / name
    size = len(path.read_bytes().rstrip(b"\n")) if name.endswith("json") else path.stat().st_size
    for length in [0, 1, size // 2, size - 1, *random.Random(6).sample(range(size), 20)]:
        os.truncate(path, length)
        assert_noticed(make_cache, fill, logits, said)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"a": ' * 100_000])
def test_a_seal_that_is_no_seal_is_noticed(filled, make_cache, fill, logits, said, content):
    (filled.folder / "00000.json").write_bytes(content)
    assert_noticed(make_cache, fill, logits, said)


@pytest.mark.parametrize("change", [{"rows": "many"}, {"rows": 10**9}, {"distortion": 3}])
def test_a_seal_that_was_made_up_is_noticed(filled, make_cache, fill, logits, said, change):
    path = filled.folder / "00000.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    write_sealed(path, content | change)
    assert_noticed(make_cache, fill, logits, said)


@pytest.mark.parametrize("index", [-1, IMAGES, 2**31 - 1, 3])
def test_rows_that_were_made_up_are_noticed(filled, make_cache, fill, logits, said, index):
    path = filled.folder / "00000.rows"
    records = np.fromfile(path, filled.layout.record)
    records["index"][7] = index
    records.tofile(path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    seal = Seal(IMAGES, checksum, Distortion())
    write_seal(PageFiles(filled.folder, 0), filled.layout, seal)
    assert_noticed(make_cache, fill, logits, said)


def test_a_page_of_another_view_or_cache_is_not_taken(make_cache, fill, logits, said):
    cache, other = make_cache(), make_cache({"teacher": "b"})
    fill(cache, 0, logits)
    for source, target in [(cache, (cache, 1)), (cache, (other, 0))]:
        to, view = target
        to.folder.mkdir(exist_ok=True)
        for suffix in (".rows", ".json"):
            content = (source.folder / f"00000{suffix}").read_bytes()
            (to.folder / f"{view:05d}{suffix}").write_bytes(content)
        assert to.page(view) is None
        assert "belongs to another page" in said.pop()


def test_rows_without_a_seal_do_not_count(filled, make_cache, fill, logits):
    (filled.folder / "00000.json").unlink()
    assert make_cache().page(0) is None
    assert fill(make_cache(), 0, torch.zeros(IMAGES, CLASSES)).rows(torch.tensor([1])).sum() == 0


def test_a_saved_part_that_is_damaged_is_begun_anew(make_cache, fill, logits, said):
    fill(make_cache(), 0, logits, torch.arange(30))
    path = make_cache().folder / "00000.rows"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert fill(make_cache(), 0, logits, torch.arange(30, IMAGES)) is None
    assert len(said) == 1
    page = fill(make_cache(), 0, logits, torch.arange(30))
    assert torch.equal(page.rows(torch.arange(IMAGES)), make_cache().as_stored(logits))


def test_bytes_are_verified_once_by_each_cache(filled, said):
    path = filled.folder / "00000.rows"
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    with path.open("r+b") as file:  # behind its back: the same file, size and time
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert filled.page(0) is not None
    os.utime(path)
    assert filled.page(0) is None
    assert "checksum differs" in said[0]


def test_a_mapped_page_outlives_its_removal(filled, make_cache, fill, logits):
    page = filled.page(0)
    for path in list(filled.folder.iterdir()):
        path.unlink()
    fill(make_cache(), 0, torch.zeros(IMAGES, CLASSES))
    assert torch.equal(page.rows(torch.arange(IMAGES)), filled.as_stored(logits))


def write_through(cache, logits, rounds=1):
    """A pass as training makes it; returns the writers it got."""
    writers = [cache.writer(view) for view in range(rounds)]
    for writer in filter(None, writers):
        for part in torch.arange(IMAGES).split(8):
            writer.write(part, logits[part])
        writer.save()
        writer.close()
    return writers


def failing(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_full_disk_does_not_stop_training(make_cache, logits, said, monkeypatch, call):
    cache = make_cache()
    writer = cache.writer(0)
    with monkeypatch.context() as patch:
        patch.setattr(f"pathlib.Path.{call}" if call != "fsync" else "os.fsync", failing)
        writer.write(torch.arange(IMAGES), logits)
        writer.save()
        writer.write(torch.arange(IMAGES), logits)
        writer.close()
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert cache.writer(1) is None
    assert cache.page(0) is None
    assert [p.name for p in cache.folder.iterdir() if p.suffix != ".lock"] == ["key.json"]


def test_a_disk_that_fills_up_in_the_middle_of_a_page_gets_its_space_back(make_cache, logits, said):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    cache = make_cache()
    writer = cache.writer(0)
    writer.write(torch.arange(20), logits[:20])
    writer.save()
    half = cache.layout.page_bytes // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (half, hard))  # a write stops in the middle
    try:
        writer.write(torch.arange(20, IMAGES), logits[20:])
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(said) == 1
    assert "File too large" in said[0]
    assert not list(cache.folder.glob("*.rows"))
    assert not list(cache.folder.glob("*0.json"))


@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_a_folder_that_cannot_be_written_is_told_once(make_cache, logits, said, monkeypatch, call):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    cache = make_cache()
    monkeypatch.setattr(f"pathlib.Path.{call}", read_only)
    assert write_through(cache, logits, rounds=3) == [None, None, None]
    assert len(said) == 1
    assert "Read-only file system" in said[0]


def test_a_read_only_cache_is_read(filled, make_cache, logits, said, monkeypatch):
    real_open = os.open

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def open_read_only(path, flags, *mode, **named):
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)  # as locks do
        return read_only() if writes else real_open(path, flags, *mode, **named)

    monkeypatch.setattr(os, "utime", read_only)
    monkeypatch.setattr(os, "open", open_read_only)
    page = make_cache().page(0)
    assert torch.equal(page.rows(torch.arange(IMAGES)), filled.as_stored(logits))
    with (filled.folder / "00000.rows").open("r+b") as file:
        file.write(b"\0" * 40)
    assert make_cache().page(0) is None
    assert "it is not used" in said[0]


@pytest.mark.parametrize("level", ["cache", "key"])
def test_a_cache_behind_a_link_is_neither_read_nor_written(
    make_cache, fill, logits, said, tmp_path, level
):
    cache = make_cache()
    fill(cache, 0, logits)
    folder = cache.room.root if level == "cache" else cache.folder
    outside = folder.rename(tmp_path / "outside")
    folder.symlink_to(outside)
    before = sorted(path.name for path in outside.rglob("*"))
    assert make_cache().page(0) is None
    assert make_cache().writer(1) is None
    assert "is a link" in said[-1]
    assert sorted(path.name for path in outside.rglob("*")) == before


def test_a_pipe_in_the_place_of_rows_is_refused_and_nothing_hangs(filled, make_cache, said):
    rows = next(filled.folder.glob("*.rows"))
    rows.unlink()
    os.mkfifo(rows)
    assert make_cache().page(0) is None
    assert "not a regular file" in said[-1]


def test_what_a_key_is_made_of_is_written_again_where_it_is_anothers(filled, make_cache):
    (filled.folder / "key.json").write_text('{"key": {"teacher": "b"}}')
    leftover = filled.folder / ".tmp-0-key.json"
    leftover.touch()
    os.utime(leftover, (0, 0))
    make_cache().writer(1).close()
    assert stage_hash(read_json(filled.folder / "key.json")) == filled.folder.name
    assert not leftover.exists()
