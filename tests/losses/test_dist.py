import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses import dist_loss
from tests.losses.reference import rows


def pair(seed, samples=5, classes=4):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(2, samples, classes, generator=generator, dtype=torch.float64)
    return (2 * draw).unbind()


def pearson(x, y):
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)])


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 200))
@settings(max_examples=30, deadline=None)
def test_dist_is_one_minus_the_correlations_within_samples_and_within_classes(seed, T):
    student, teacher = pair(seed)
    q, p = np.array(rows(student, T)), np.array(rows(teacher, T))
    expected = T * T * (2 * (1 - pearson(q, p)) + 3 * (1 - pearson(q.T, p.T)))
    assert dist_loss(student, teacher, 2.0, 3.0, T).item() == pytest.approx(expected, rel=1e-6)


def test_equal_predictions_are_fully_correlated():
    student, _ = pair(1)
    loss = dist_loss(student.requires_grad_(), student.detach(), 1.0, 1.0, 4.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


def test_rare_classes_count_as_much_as_frequent_ones():
    # Probabilities near 1e-11 correlate like any others, in float32 too.
    student, teacher = pair(2)
    student[:, 0] -= 25
    teacher[:, 0] -= 25
    exact = dist_loss(student, teacher, 0.0, 1.0, 1.0)
    torch.testing.assert_close(
        dist_loss(student.float(), teacher.float(), 0.0, 1.0, 1.0), exact.float(), rtol=0, atol=1e-3
    )


def test_what_does_not_vary_correlates_with_nothing():
    student = torch.zeros(3, 4, requires_grad=True)
    loss = dist_loss(student, pair(3, samples=3)[1].float(), 1.0, 1.0, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(2.0)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("T", [0.0, -1.0, math.nan, math.inf])
def test_temperature_must_be_finite_and_positive(T):
    with pytest.raises(ValueError, match="T must be in"):
        dist_loss(*pair(4), 1.0, 1.0, T)
