"""The space that pages may take: the least recently used make room."""

import os
import time
from pathlib import Path

import pytest
import torch

from kdrun.teachers.cache.quota import CacheQuota

PAGE = 60 * 20  # 60 rows: an index, seven halves, two bytes of padding


@pytest.fixture
def others(make_cache, fill, logits, tmp_path):
    """Pages of caches a, b and c of earlier runs, used in this order an hour ago."""
    found, now = {}, time.time()
    for age, name in enumerate("abc"):
        cache = make_cache({"teacher": name})
        fill(cache, 0, logits)
        found[name] = cache.folder / "00000.rows"
        assert found[name].stat().st_size == PAGE
        os.utime(found[name], (now - 3600 + age, 10**9))
    return found


def kept(others):
    return "".join(name for name, path in others.items() if path.exists())


def test_the_oldest_pages_make_room(others, make_cache, fill, logits, tmp_path, said):
    room = CacheQuota(tmp_path / "cache", 3 * PAGE)
    cache = make_cache({"teacher": "new"}, room=room)
    assert fill(cache, 0, logits) is not None
    assert kept(others) == "bc"
    assert not others["a"].parent.exists()
    assert fill(cache, 1, logits) is not None
    assert kept(others) == "c"
    assert said == []


def test_a_page_that_is_opened_counts_as_used(others, make_cache, fill, logits, tmp_path):
    assert make_cache({"teacher": "a"}).page(0) is not None
    fill(make_cache({"teacher": "new"}, room=CacheQuota(tmp_path / "cache", 3 * PAGE)), 0, logits)
    assert kept(others) == "ac"


def test_the_use_is_noted_where_the_mount_does_not(others, make_cache, monkeypatch):
    noted = {}
    monkeypatch.setattr(os, "utime", lambda path, ns: noted.update({path: ns}))
    make_cache({"teacher": "a"}).page(0)
    ((path, (used, written)),) = noted.items()
    assert path == others["a"]
    assert abs(used / 1e9 - time.time()) < 60
    assert written == 10**18


def test_a_run_does_not_remove_its_own_pages(others, make_cache, fill, logits, tmp_path, said):
    room = CacheQuota(tmp_path / "cache", 3 * PAGE)
    first = make_cache({"teacher": "a"}, room=room)
    second = make_cache({"teacher": "new"}, room=room)
    fill(second, 0, logits)
    assert kept(others) == "ac"
    fill(first, 1, logits)
    assert kept(others) == "a"
    assert second.writer(1) is None
    assert second.writer(2) is None
    assert len(said) == 1
    assert "cache.max_gb" in said[0]
    assert first.page(0) is not None
    assert first.page(1) is not None
    assert second.page(0) is not None


def test_what_would_not_fit_alone_is_not_written_and_removes_nothing(
    others, make_cache, tmp_path, said
):
    cache = make_cache({"teacher": "new"}, room=CacheQuota(tmp_path / "cache", PAGE - 1))
    assert cache.writer(0) is None
    assert kept(others) == "abc"
    assert "1,200 bytes of another page" in said[0]
    assert not cache.folder.exists()


def test_the_saved_part_of_a_page_is_not_counted_twice(make_cache, fill, logits, tmp_path):
    room = CacheQuota(tmp_path / "cache", PAGE)
    cache = make_cache({"teacher": "new"}, room=room)
    fill(cache, 0, logits, torch.arange(50))
    assert fill(cache, 0, logits) is not None


def test_a_complete_page_needs_no_room(make_cache, fill, logits, tmp_path, said):
    fill(make_cache({"teacher": "new"}), 0, logits)
    cache = make_cache({"teacher": "new"}, room=CacheQuota(tmp_path / "cache", PAGE / 2))
    assert cache.page(0) is not None
    assert cache.writer(0) is None
    assert said == []


def test_a_page_that_is_being_written_is_not_removed(make_cache, logits, fill, tmp_path, said):
    writing = make_cache({"teacher": "a"}).writer(0)
    writing.write(torch.arange(60), logits)
    writing.save()
    assert (
        make_cache({"teacher": "new"}, room=CacheQuota(tmp_path / "cache", PAGE)).writer(0) is None
    )
    writing.close()
    assert make_cache({"teacher": "a"}).page(0) is not None
    assert fill(
        make_cache({"teacher": "new"}, room=CacheQuota(tmp_path / "cache", PAGE)), 0, logits
    )


def test_nothing_but_pages_is_removed(others, make_cache, fill, logits, tmp_path):
    root, outside = tmp_path / "cache", tmp_path / "outside"
    outside.mkdir()
    mine = [outside / "00000.rows", root / "00001.rows", others["a"].parent / "notes.rows"]
    for path in mine:
        path.write_bytes(b"x" * 10_000)
    (root / "link").symlink_to(outside)
    fill(make_cache({"teacher": "new"}, room=CacheQuota(Path(root), PAGE)), 0, logits)
    assert kept(others) == ""
    assert all(path.exists() for path in mine)
