import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses import nkd_loss
from tests.losses.reference import batch, probabilities, without


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 10))
@settings(max_examples=30, deadline=None)
def test_nkd_adds_weighted_label_and_renormalised_others(seed, T):
    student, teacher, labels = batch(seed)
    expected = 0.0
    for s, t, y in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        expected -= probabilities(t, 1.0)[y] * math.log(probabilities(s, 1.0)[y])
        others = zip(probabilities(without(t, y), T), probabilities(without(s, y), T), strict=True)
        expected -= 1.5 * T * T * sum(p * math.log(q) for p, q in others)
    assert nkd_loss(student, teacher, labels, 1.5, T).item() == pytest.approx(expected / 4)


def test_nkd_default_is_gamma_one_and_a_half_at_T_one():
    student, teacher, labels = batch(8)
    assert torch.equal(
        nkd_loss(student, teacher, labels), nkd_loss(student, teacher, labels, 1.5, 1.0)
    )
