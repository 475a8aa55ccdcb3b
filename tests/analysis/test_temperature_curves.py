import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import entropy, temperature_curve
from tests.analysis.draws import logits
from tests.losses.reference import rows


@given(seed=st.integers(0, 1000), T=st.floats(0.3, 100))
@settings(max_examples=25, deadline=None)
def test_curve_is_the_mean_over_the_samples_at_each_temperature(seed, T):
    z = logits(seed)
    curve = temperature_curve(z, [T])
    probs = rows(z, T)
    entropies = [-math.fsum(p * math.log(p) for p in row if p > 0) for row in probs]
    assert curve.temperatures == (T,)
    assert curve.mean_entropy == pytest.approx([sum(entropies) / 30], rel=1e-9)
    assert curve.mean_max_probability == pytest.approx([sum(map(max, probs)) / 30])


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 50))
@settings(max_examples=25, deadline=None)
def test_entropy_slope_is_the_finite_difference(seed, T):
    z, step = logits(seed), 1e-5 * T
    curve = temperature_curve(z, [T - step, T, T + step])
    below, _, above = curve.mean_entropy
    assert curve.entropy_slope[1] == pytest.approx((above - below) / (2 * step), rel=1e-4)


@given(seed=st.integers(0, 1000), shift=st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_entropy_grows_with_temperature_whatever_is_added_to_the_logits(seed, shift):
    curve = temperature_curve(logits(seed) + shift, [0.5, 1, 2, 4, 8, 1000, math.inf])
    assert list(curve.mean_entropy) == sorted(curve.mean_entropy)
    assert min(curve.entropy_slope) >= 0
    assert curve.mean_entropy == pytest.approx(
        temperature_curve(logits(seed), curve.temperatures).mean_entropy
    )


def test_curve_ends_at_the_limits():
    curve = temperature_curve(logits(1), torch.tensor([1e-4, math.inf]))
    assert curve.mean_entropy == pytest.approx((0, math.log(5)), abs=1e-12)
    assert curve.mean_max_probability == pytest.approx((1, 0.2))
    assert curve.entropy_slope == pytest.approx((0, 0), abs=1e-12)


def test_equal_logits_are_uniform_at_every_temperature():
    curve = temperature_curve(torch.full((3, 4), 7.0), [0.5, 1, 20])
    assert curve.mean_entropy == pytest.approx([math.log(4)] * 3)
    assert curve.entropy_slope == (0, 0, 0)


@given(seed=st.integers(0, 1000), T=st.floats(0.2, 900))
@settings(max_examples=40, deadline=None)
def test_temperature_is_found_again_from_the_entropy(seed, T):
    z = logits(seed)
    curve = temperature_curve(z, [1.0])
    reached = temperature_curve(z, [T]).mean_entropy[0]
    found = curve.temperature_for(reached)
    assert found == pytest.approx(T, rel=1e-6)
    assert entropy(torch.softmax(z / found, 1)).mean().item() == pytest.approx(reached, rel=1e-12)


def test_an_entropy_that_no_temperature_gives_is_refused():
    curve = temperature_curve(logits(2), [1.0])
    for unreachable in (-0.1, math.log(5) + 1e-9, math.nan):
        with pytest.raises(ValueError, match=r"nats, never"):
            curve.temperature_for(unreachable)


@pytest.mark.parametrize("temperatures", [[], [0.0], [1.0, -2.0], [math.nan], [2000.0]])
def test_temperatures_out_of_range_are_refused(temperatures):
    with pytest.raises(ValueError, match=r"T must be in|at least one T"):
        temperature_curve(logits(3), temperatures)


def test_logits_that_are_not_finite_are_refused():
    z = logits(4)
    z[3, 2] = math.nan
    with pytest.raises(ValueError, match="logits must be finite"):
        temperature_curve(z, [1.0])
    with pytest.raises(ValueError, match=r"logits must be \(N, width\)"):
        temperature_curve(z[0], [1.0])
