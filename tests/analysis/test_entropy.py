import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import entropy
from kdrun.analysis.entropy import kl_divergence, total_variation
from tests.analysis.draws import probs
from tests.losses.reference import kl


def test_entropy_spans_from_certain_to_uniform():
    rows = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.25] * 4])
    torch.testing.assert_close(
        entropy(rows), torch.tensor([0.0, math.log(2), math.log(4)]), rtol=1e-6, atol=0
    )


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_entropy_is_the_sum_over_classes_in_any_order(seed):
    rows = probs(seed)
    expected = [-math.fsum(p * math.log(p) for p in row) for row in rows.tolist()]
    assert entropy(rows).tolist() == pytest.approx(expected, rel=1e-12)
    assert entropy(rows.flip(1)).tolist() == pytest.approx(expected, rel=1e-12)


def test_entropy_keeps_leading_dimensions_and_the_precision_given():
    rows = torch.full((2, 3, 4), 0.25)
    assert entropy(rows).shape == (2, 3)
    assert entropy(rows).dtype == torch.float32
    assert entropy(rows.bfloat16()).dtype == torch.float32
    assert entropy(rows.double()).dtype == torch.float64


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 100))
@settings(max_examples=40, deadline=None)
def test_divergence_is_the_sum_over_classes(seed, scale):
    p, q = probs(seed, scale=scale), probs(seed + 1, scale=scale)
    expected = [kl(a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True)]
    assert kl_divergence(p, q).tolist() == pytest.approx(expected, rel=1e-10)


def test_divergence_of_near_equal_rows_keeps_its_digits():
    epsilon = 1e-9
    p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    q = torch.tensor([0.5 + epsilon, 0.5 - epsilon], dtype=torch.float64)
    exact = -0.5 * math.log1p(-4 * epsilon**2)
    assert kl_divergence(p, q).item() == pytest.approx(exact, rel=1e-6)
    assert kl_divergence(p, p).item() == 0


def test_divergence_is_finite_for_tiny_and_infinite_for_no_probability():
    certain = torch.tensor([1.0, 0.0], dtype=torch.float64)
    tiny = torch.tensor([1e-30, 1.0], dtype=torch.float64)
    assert kl_divergence(certain, tiny).item() == pytest.approx(30 * math.log(10))
    assert kl_divergence(certain, certain.flip(0)).item() == math.inf
    assert kl_divergence(certain, torch.tensor([0.5, 0.5])).item() == pytest.approx(math.log(2))


def test_total_variation_is_the_largest_difference_of_an_event():
    p, q = probs(1, samples=1)[0], probs(2, samples=1)[0]
    events = [[k for k in range(5) if subset >> k & 1] for subset in range(32)]
    largest = max(abs((p[event].sum() - q[event].sum()).item()) for event in events)
    assert total_variation(p, q).item() == pytest.approx(largest)


@pytest.mark.parametrize(
    "rows",
    [
        torch.tensor([[2.0, -1.0]]),
        torch.tensor([[3.0, 1.0]]),
        torch.tensor([[math.nan, 1.0]]),
        torch.ones(0, 3),
        torch.tensor(1.0),
    ],
)
def test_what_is_no_distribution_is_refused(rows):
    with pytest.raises(ValueError, match="probs must"):
        entropy(rows)
