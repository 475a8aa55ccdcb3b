import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kdrun.analysis import (
    calibration_temperature,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_diagram,
)
from tests.analysis.draws import labels, logits, probs


def looped_error(rows, targets, bins):
    """Each bin (low, high] for itself."""
    total = 0.0
    for b in range(bins):
        inside = [
            (max(row), row.index(max(row)) == target)
            for row, target in zip(rows.tolist(), targets.tolist(), strict=True)
            if b / bins < max(row) <= (b + 1) / bins
        ]
        if inside:
            confidence = sum(value for value, _ in inside) / len(inside)
            accuracy = sum(right for _, right in inside) / len(inside)
            total += len(inside) / len(rows) * abs(accuracy - confidence)
    return total


@given(seed=st.integers(0, 1000), bins=st.sampled_from([1, 2, 10, 15, 40]))
@settings(max_examples=40, deadline=None)
def test_calibration_error_is_the_loop_over_the_bins(seed, bins):
    rows, targets = probs(seed, 60), labels(seed, 60)
    measured = expected_calibration_error(rows, targets, bins)
    assert measured == pytest.approx(looped_error(rows, targets, bins), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [5, 10, 15])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(dtype, bins):
    for edge in range(bins // 2 + 1, bins + 1):
        confidence = edge / bins
        rows = torch.tensor([[confidence, 1 - confidence]], dtype=torch.float64).to(dtype)
        (filled,) = reliability_diagram(rows, torch.tensor([0]), bins)
        assert (filled.low, filled.high) == ((edge - 1) / bins, edge / bins)


def test_fifteen_bins_are_the_default():
    rows, targets = probs(1, 60), labels(1, 60)
    expected = looped_error(rows, targets, 15)
    assert expected_calibration_error(rows, targets) == pytest.approx(expected)


def test_samples_on_and_over_an_edge_are_not_mixed():
    rows = torch.tensor([[0.6, 0.4], [0.61, 0.39]], dtype=torch.float64)
    below, above = reliability_diagram(rows, torch.tensor([0, 1]), 5)
    assert (below.count, below.confidence, below.accuracy) == (1, 0.6, 1.0)
    assert (above.count, above.confidence, above.accuracy) == (1, 0.61, 0.0)
    error = expected_calibration_error(rows, torch.tensor([0, 1]), 5)
    assert error == pytest.approx((0.4 + 0.61) / 2)


def test_reliability_diagram_counts_every_sample_once():
    diagram = reliability_diagram(probs(2, 200), labels(2, 200))
    assert sum(filled.count for filled in diagram) == 200
    assert all(filled.low < filled.confidence <= filled.high for filled in diagram)
    assert [filled.low for filled in diagram] == sorted(filled.low for filled in diagram)


def test_calibration_error_of_the_extremes():
    certain = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert expected_calibration_error(certain, torch.tensor([0, 0])) == 0
    assert expected_calibration_error(certain, torch.tensor([1, 1])) == 1
    assert expected_calibration_error(certain, torch.tensor([0, 1])) == 0.5


def optimum(z, targets):
    """Whether a finite T > 0 is best: neither all labels on top nor the classes disfavoured."""
    chosen = z.gather(1, targets[:, None])
    return (z.amax(1, keepdim=True) > chosen).any() and (chosen.mean() > z.mean())


@given(seed=st.integers(0, 1000), exponent=st.integers(-8, 8))
@settings(max_examples=40, deadline=None)
def test_calibration_temperature_meets_the_optimum_condition(seed, exponent):
    z, targets = logits(seed, 50), labels(seed, 50)
    z = (z + 2 * F.one_hot(targets, 5)) * 10.0**exponent
    assume(optimum(z, targets))
    T = calibration_temperature(z, targets)
    probabilities = torch.softmax(z / T, 1)
    excess = (probabilities * z).sum(1) - z.gather(1, targets[:, None]).squeeze(1)
    assert excess.mean().item() == pytest.approx(0, abs=1e-10 * z.abs().max().item())
    best = negative_log_likelihood(probabilities, targets)
    for other in (0.99 * T, 1.01 * T, 0.5 * T, 2 * T):
        assert negative_log_likelihood(torch.softmax(z / other, 1), targets) > best


def test_calibrating_softened_logits_finds_the_temperature_again():
    z, targets = logits(3, 60) + 2 * F.one_hot(labels(3, 60), 5), labels(3, 60)
    T = calibration_temperature(z, targets)
    assert calibration_temperature(7 * z, targets) == pytest.approx(7 * T)
    assert calibration_temperature(z / T, targets) == pytest.approx(1)
    shifted = z + torch.arange(60)[:, None]
    assert calibration_temperature(shifted, targets) == pytest.approx(T)


def test_labels_drawn_from_the_probabilities_need_no_calibration():
    z = logits(4, 20_000)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(torch.softmax(z, 1), 1, generator=generator).squeeze(1)
    assert calibration_temperature(z, drawn) == pytest.approx(1, abs=0.03)
    assert expected_calibration_error(torch.softmax(z, 1), drawn) < 0.02


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e6])
def test_without_a_minimum_the_limit_is_returned(spread):
    z = spread * torch.tensor([[1.0, 0.0, 0.5], [0.0, 3.0, 3.0]])
    assert calibration_temperature(z, torch.tensor([0, 2])) == 0
    assert calibration_temperature(z, torch.tensor([1, 0])) == math.inf
    assert calibration_temperature(torch.ones(2, 3), torch.tensor([1, 0])) == math.inf


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="bins must be at least 1"):
        expected_calibration_error(probs(5), labels(5), bins=0)
    with pytest.raises(ValueError, match="labels must be"):
        expected_calibration_error(probs(5), labels(5)[:, None])
    with pytest.raises(ValueError, match="logits must be finite"):
        calibration_temperature(logits(5) / 0, labels(5))
    with pytest.raises(ValueError, match="labels must be"):
        calibration_temperature(logits(5), labels(5) + 1)
