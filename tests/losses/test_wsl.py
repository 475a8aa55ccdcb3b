import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses import soft_target_loss, wsl_loss
from tests.losses.reference import batch, probabilities, rows


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 10))
@settings(max_examples=30, deadline=None)
def test_wsl_weights_each_sample_by_what_is_left_to_learn(seed, T):
    student, teacher, labels = batch(seed)
    expected = 0.0
    for s, t, y in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        ratio = math.log(probabilities(s, 1.0)[y]) / math.log(probabilities(t, 1.0)[y])
        pairs = zip(probabilities(t, T), probabilities(s, T), strict=True)
        expected -= (1 - math.exp(-ratio)) * T * T * sum(p * math.log(q) for p, q in pairs)
    assert wsl_loss(student, teacher, labels, T).item() == pytest.approx(expected / 4)


def test_wsl_weight_takes_no_gradient():
    student, teacher, labels = batch(9, samples=1)
    student.requires_grad_()
    wsl_loss(student, teacher, labels, 2.0).backward()
    y = labels.item()
    ratio = math.log(rows(student.detach(), 1.0)[0][y]) / math.log(rows(teacher, 1.0)[0][y])
    p, q = torch.tensor(rows(teacher, 2.0)), torch.tensor(rows(student.detach(), 2.0))
    expected = (1 - math.exp(-ratio)) * 2 * (q - p)
    torch.testing.assert_close(student.grad, expected.double(), rtol=1e-5, atol=1e-6)


def test_wsl_weight_is_right_where_float32_probabilities_round_to_one():
    labels = torch.tensor([0])
    student, teacher = torch.tensor([[25.0, 0.0, 0.0]]), torch.tensor([[25.0, 0.0, 0.0]])
    soft = soft_target_loss(student, torch.tensor([[25.0, 0.0, 0.0]]), 5.0)
    entropy = -sum(25 * p * math.log(p) for p in rows(teacher, 5.0)[0])
    expected = (1 - math.exp(-1)) * (soft.item() + entropy)
    assert wsl_loss(student, teacher, labels, 5.0).item() == pytest.approx(expected, rel=1e-5)


def test_wsl_is_finite_where_neither_network_has_anything_left_to_learn():
    logits = torch.tensor([[1e4, 0.0, 0.0]])
    assert torch.isfinite(wsl_loss(logits, logits, torch.tensor([0]), 2.0))
