import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses.temperature import softmax_with_temperature

some_logits = st.lists(st.floats(-20, 20), min_size=2, max_size=8).map(
    lambda row: torch.tensor([row], dtype=torch.float64)
)
temperatures = st.floats(0.1, 1000)


def entropy(probs):
    return -torch.special.xlogy(probs, probs).sum(-1)


@pytest.mark.parametrize("T", [0, -1, -math.inf, math.nan, 1000.1])
def test_a_temperature_out_of_range_is_refused(T):
    with pytest.raises(ValueError, match=r"T must be in \(0, 1000\] or inf, got"):
        softmax_with_temperature(torch.zeros(1, 3), T)


@given(logits=some_logits, T=temperatures)
@settings(max_examples=50, deadline=None)
def test_softmax_is_the_normalised_exponential_of_the_quotient(logits, T):
    weights = [math.exp((z - logits.max().item()) / T) for z in logits[0].tolist()]
    expected = torch.tensor([[w / sum(weights) for w in weights]], dtype=torch.float64)
    torch.testing.assert_close(softmax_with_temperature(logits, T), expected)


@given(logits=some_logits, T=st.floats(0.5, 20))
@settings(max_examples=50, deadline=None)
def test_entropy_grows_with_T_at_the_rate_variance_over_T_cubed(logits, T):
    step = 1e-4 * T
    low, middle, high = (softmax_with_temperature(logits, T + h) for h in (-step, 0, step))
    slope = (entropy(high) - entropy(low)) / (2 * step)
    mean = (middle * logits).sum(-1, keepdim=True)
    variance = (middle * (logits - mean).square()).sum(-1)
    torch.testing.assert_close(slope, variance / T**3, rtol=1e-3, atol=1e-7)


@given(logits=some_logits, T=st.floats(0.5, 100))
@settings(max_examples=25, deadline=None)
def test_jacobian_matches_closed_form(logits, T):
    p = softmax_with_temperature(logits, T)[0]
    jacobian = torch.autograd.functional.jacobian(
        lambda z: softmax_with_temperature(z, T), logits[0]
    )
    torch.testing.assert_close(jacobian, (torch.diag(p) - torch.outer(p, p)) / T)


def test_low_temperature_splits_evenly_over_the_largest_logits():
    probs = softmax_with_temperature(torch.tensor([[3.0, 1.0, 3.0, 2.9]]), 1e-3)
    torch.testing.assert_close(probs, torch.tensor([[0.5, 0.0, 0.5, 0.0]]))


@pytest.mark.parametrize("T", [1e-20, 1e-38, 1e-42, 1e-320])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_temperature_is_too_low_to_have_a_limit(T, dtype):
    probs = softmax_with_temperature(torch.tensor([[3.0, 1.0, 3.0, 2.9]], dtype=dtype), T)
    torch.testing.assert_close(probs, torch.tensor([[0.5, 0, 0.5, 0]], dtype=dtype))


def test_infinite_temperature_is_uniform_and_differentiable():
    logits = torch.randn(2, 5, requires_grad=True)
    probs = softmax_with_temperature(logits, math.inf)
    assert torch.equal(probs, torch.full((2, 5), 0.2))
    probs[:, 0].sum().backward()
    assert torch.equal(logits.grad, torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("given_dtype", "returned"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
@pytest.mark.parametrize("T", [1.0, 1000.0])
def test_probabilities_are_at_least_float32(given_dtype, returned, T):
    assert softmax_with_temperature(torch.zeros(2, 3, dtype=given_dtype), T).dtype == returned
