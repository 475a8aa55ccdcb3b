"""How rows are stored, against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdrun.teachers.cache.encoding import Dense, TopK, make_encoding, total_variation


def softmax(logits):
    """In float64."""
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def truncated(logits, k):
    """The k largest probabilities kept, the rest of the mass spread uniformly; in float64."""
    kept = softmax(logits.double().numpy())
    for row in kept:
        others = np.argsort(row)[:-k]
        row[others] = row[others].sum() / len(others)
    return kept


@pytest.mark.parametrize("name", ["float16", "float32"])
def test_all_logits_come_back_as_numpy_rounds_them(name, logits):
    encoding = Dense(logits.shape[1], name)
    rounded = torch.from_numpy(logits.numpy().astype(name).astype("float32"))
    assert torch.equal(encoding.decode(encoding.encode(logits)), rounded)


def test_float32_keeps_every_bit():
    awkward = torch.tensor([[0.0, -0.0, 1e-45, 3.4e38, -1 / 3]])
    back = Dense(5, "float32").decode(Dense(5, "float32").encode(awkward))
    assert torch.equal(back.view(torch.int32), awkward.view(torch.int32))


def test_float16_keeps_every_bit_of_bfloat16(logits):
    half = logits.bfloat16()
    encoding = Dense(logits.shape[1], "float16")
    assert torch.equal(encoding.decode(encoding.encode(half)), half.float())


def test_what_is_stored_shares_no_memory_with_the_logits(logits):
    (stored,) = Dense(logits.shape[1], "float32").encode(logits)
    before = stored.clone()
    logits.zero_()
    assert torch.equal(stored, before)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_top_k_keeps_k_probabilities_and_spreads_the_rest(k, dtype, logits):
    encoding = TopK(logits.shape[1], k, dtype)
    back = encoding.decode(encoding.encode(logits)).double().exp().numpy()
    rel, least = (5e-3, 1e-5) if dtype == "float16" else (1e-5, 1e-12)
    assert back == pytest.approx(truncated(logits, k), rel=rel, abs=least)


@given(
    seed=st.integers(0, 2**31),
    classes=st.integers(2, 40),
    scale=st.floats(0, 100),
    shift=st.floats(-50, 50),
    data=st.data(),
)
def test_top_k_keeps_the_mass_and_ignores_a_constant(seed, classes, scale, shift, data):
    k = data.draw(st.integers(1, classes - 1))
    logits = scale * torch.randn(8, classes, generator=torch.Generator().manual_seed(seed))
    encoding = TopK(classes, k, "float32")
    stored = encoding.encode(logits)
    back = encoding.decode(stored)
    assert back.double().exp().sum(1).numpy() == pytest.approx(1, abs=1e-4)
    assert encoding.deviation(stored, logits + shift).max() < 1e-3
    others = torch.ones_like(back, dtype=torch.bool).scatter(1, stored[0].long(), False)
    alike = back[others].view(8, classes - k)
    assert torch.equal(alike, alike[:, :1].expand_as(alike))


def test_top_k_stays_finite_where_a_class_is_impossible():
    logits = torch.tensor([[0.0, -torch.inf, -torch.inf], [1e5, 0.0, 0.0]])
    for dtype in ("float16", "float32"):
        encoding = TopK(3, 1, dtype)
        back = encoding.decode(encoding.encode(logits))
        assert back.isfinite().all()
        assert torch.equal(back.exp(), torch.tensor([[1.0, 0, 0], [1, 0, 0]]))


def test_top_k_of_all_classes_stores_them_all():
    assert make_encoding(10, "float16", 10) == Dense(10, "float16")
    assert make_encoding(10, "float16", 9) == TopK(10, 9, "float16")


def test_ties_among_the_likeliest_are_no_deviation():
    tied = torch.tensor([[2.0, 2.0, 0.0, -1.0]])
    encoding = TopK(4, 1, "float32")
    other = (torch.tensor([[1]], dtype=torch.int16), encoding.encode(tied)[1])
    assert encoding.deviation(other, tied).item() < 1e-6


def test_total_variation_is_half_the_distance_of_the_probabilities(logits):
    other = logits.flip(1)
    expected = np.abs(softmax(logits.double().numpy()) - softmax(other.double().numpy())).sum(1) / 2
    assert total_variation(logits, other).numpy() == pytest.approx(expected, abs=1e-6)
