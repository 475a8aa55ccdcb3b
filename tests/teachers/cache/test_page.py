"""Pages: written in any order, whole or invisible, and what came back of them."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdrun.errors import OutputError
from kdrun.teachers.cache import writer as writer_module
from tests.teachers.cache.conftest import CLASSES, IMAGES

ENCODINGS = [
    {"dtype": "float32"},
    {"dtype": "float16"},
    {"dtype": "float16", "topk": 2},
    {"dtype": "float32", "topk": 3},
]


@pytest.mark.parametrize("options", ENCODINGS, ids=str)
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    images=st.integers(1, 50),
    classes=st.integers(1, 20),
    batch=st.integers(1, 20),
    repeated=st.lists(st.integers(0, 10**6), max_size=20),
    seed=st.integers(0, 2**31),
)
def test_a_page_gives_back_what_is_stored_of_each_image(
    make_cache, fill, monkeypatch, options, images, classes, batch, repeated, seed
):
    monkeypatch.setitem(writer_module.FLUSH_BYTES, "cpu", 200)
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(images, classes, generator=generator)
    order = torch.randperm(images, generator=generator)
    twice = torch.tensor([place % images for place in repeated], dtype=torch.long)
    key = [seed, images, classes, batch, repeated]
    cache = make_cache({"key": key}, images=images, classes=classes, **options)
    page = cache.page(0) or fill(cache, 0, logits, torch.cat([twice, order]), batch)
    asked = torch.randint(images, (2 * batch,), generator=generator)
    assert torch.equal(page.rows(asked), cache.as_stored(logits)[asked])
    held = page.to(torch.device("cpu"))
    assert torch.equal(held.rows(asked), page.rows(asked))


def test_float32_gives_back_every_bit(make_cache, fill, logits):
    page = fill(make_cache(dtype="float32"), 0, logits, torch.randperm(IMAGES))
    assert torch.equal(page.rows(torch.arange(IMAGES)), logits)
    assert page.distortion.deviation == page.distortion.max_tv == page.distortion.mean_tv == 0


def test_what_float16_changes_is_measured(make_cache, fill, logits):
    distortion = fill(make_cache(), 0, logits, torch.randperm(IMAGES)).distortion
    exact = logits.double().numpy()
    rounded = logits.numpy().astype(np.float16).astype(np.float64)
    probabilities = [np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (exact, rounded)]
    tv = np.abs(probabilities[0] - probabilities[1]).sum(1) / 2
    assert distortion.deviation == pytest.approx(np.abs(exact - rounded).max(), rel=1e-6)
    assert distortion.max_tv == pytest.approx(tv.max(), abs=2e-7)
    assert distortion.mean_tv == pytest.approx(tv.mean(), abs=2e-7)


def test_what_top_k_changes_is_measured(make_cache, fill, logits):
    cache = make_cache(topk=2)
    page = fill(cache, 0, logits, batch=7)
    back = page.rows(torch.arange(IMAGES)).double().exp()
    tv = (back / back.sum(1, keepdim=True) - logits.double().softmax(1)).abs().sum(1) / 2
    assert page.distortion.max_tv == pytest.approx(tv.max().item(), abs=1e-6)
    assert page.distortion.mean_tv == pytest.approx(tv.mean().item(), abs=1e-6)
    assert page.distortion.deviation < 1e-3


def test_a_page_with_a_row_missing_is_not_seen(make_cache, logits):
    cache = make_cache()
    writer = cache.writer(0)
    writer.write(torch.arange(IMAGES - 1), logits[:-1])
    writer.save()
    assert cache.page(0) is None
    writer.write(torch.arange(IMAGES - 2, IMAGES), logits[-2:])
    assert cache.page(0) is None
    writer.close()
    assert cache.page(0) is not None


def test_nothing_is_left_of_a_pass_without_rows(make_cache, fill, logits, said):
    cache = make_cache()
    cache.writer(0).close()
    assert cache.page(0) is None
    assert fill(cache, 0, logits) is not None
    assert said == []


def test_a_closed_page_is_filled_by_the_next_pass(make_cache, fill, logits):
    order = torch.randperm(IMAGES)
    assert fill(make_cache(), 0, logits, order[:25]) is None
    page = fill(make_cache(), 0, logits, order[20:])
    distortion = fill(make_cache({"other": 1}), 0, logits).distortion
    assert torch.equal(page.rows(order), make_cache().as_stored(logits)[order])
    assert page.distortion.deviation == distortion.deviation
    assert page.distortion.mean_tv == pytest.approx(distortion.mean_tv)


def test_rows_after_the_last_save_do_not_count(make_cache, monkeypatch, logits, fill):
    monkeypatch.setitem(writer_module.FLUSH_BYTES, "cpu", 1)
    killed = make_cache().writer(0)
    killed.write(torch.arange(10), logits[:10])
    killed.save()
    killed.write(torch.arange(10, 30), torch.zeros(20, CLASSES))
    killed._file.flush()
    killed.lock.release()
    page = fill(make_cache(), 0, logits, torch.arange(10, IMAGES))
    assert torch.equal(page.rows(torch.arange(IMAGES)), make_cache().as_stored(logits))


def test_top_k_of_many_classes_keeps_their_numbers(make_cache, fill):
    logits = torch.zeros(2, 40_000)
    logits[0, [39_999, 33_000]] = 20.0
    page = fill(make_cache(images=2, classes=40_000, topk=2), 0, logits)
    assert set(page.rows(torch.tensor([0]))[0].topk(2).indices.tolist()) == {39_999, 33_000}


def test_an_image_left_out_of_the_pass_has_no_row(make_cache, fill, logits):
    page = fill(make_cache(rows=IMAGES - 1), 0, logits, torch.arange(1, IMAGES))
    assert page.rows(torch.tensor([3, 0])) is None
    assert torch.equal(page.rows(torch.tensor([3])), make_cache().as_stored(logits[3:4]))


def test_views_keys_and_encodings_have_pages_of_their_own(make_cache, fill, logits):
    fill(make_cache(), 0, logits)
    assert make_cache().page(1) is None
    assert make_cache({"teacher": "b"}).page(0) is None
    assert make_cache(dtype="float32").page(0) is None
    assert make_cache(topk=2).page(0) is None
    assert make_cache(rows=IMAGES - 1).page(0) is None
    assert make_cache().page(0) is not None


def test_a_key_cannot_leave_the_folder(make_cache, fill, logits, tmp_path):
    cache = make_cache({"teacher": "../../../elsewhere/../x\0"})
    assert fill(cache, 0, logits) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [cache.folder.name]
    assert set(cache.folder.name) <= set("0123456789abcdef")


def test_a_complete_page_is_not_written_again(make_cache, fill, logits, said):
    fill(make_cache(), 0, logits)
    assert make_cache().writer(0) is None
    assert said == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(65_520.0, "cache.dtype=float16"), (torch.nan, "not finite"), (-torch.inf, "")],
)
def test_what_float16_cannot_hold_is_refused_and_told_once(make_cache, logits, said, bad, reason):
    logits[5, 3] = bad
    cache = make_cache()
    writer = cache.writer(0)
    for part in torch.arange(IMAGES).split(4):
        writer.write(part, logits[part])
    writer.close()
    assert cache.page(0) is None
    assert cache.writer(1) is None
    assert len(said) == 1
    assert reason in said[0]
    assert not list(cache.folder.glob("*.rows"))


def test_float32_holds_what_float16_cannot(make_cache, fill, logits):
    logits[5, 3] = 1e30
    assert fill(make_cache(dtype="float32"), 0, logits).rows(torch.tensor([5]))[0, 3] == 1e30


def test_a_row_that_cannot_be_stored_stays_as_it_is(make_cache, logits):
    logits[5, 3] = 70_000
    back = make_cache().as_stored(logits)
    assert torch.equal(back[5], logits[5])
    assert torch.equal(back[6], logits[6].half().float())


@pytest.mark.parametrize("options", ENCODINGS, ids=str)
def test_the_check_passes_over_rounding_and_not_over_another_teacher(
    make_cache, fill, logits, options
):
    page = fill(make_cache(**options), 0, logits)
    some = torch.tensor([2, 40, 7])
    assert page.check(some, logits[some]) <= page.distortion.deviation + 1e-6
    assert page.check(some, logits[some] * (1 + 5e-5)) < 2e-3
    other = logits[some].clone()
    other[1, other[1].argmax()] -= 3
    with pytest.raises(OutputError, match=r"by [\d.]+ \(relative: [\d.]+\) for image 40"):
        page.check(some, other)
    with pytest.raises(OutputError, match=r"nan|inf"):
        page.check(some, torch.full_like(other, torch.nan))
    page.check(some, logits[some] + 0.01 * torch.sin(logits[some]), noise=0.02)
