import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses import dkd_loss, nkd_loss, soft_target_loss, wsl_loss
from tests.losses.reference import batch, kl, probabilities, rows, without


def decoupled_parts(student, teacher, labels, T):
    """By sample: the teacher's label probability, KL_binary and KL_non_target."""
    parts = []
    for s, t, y in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        p, q = probabilities(t, T), probabilities(s, T)
        binary = kl([p[y], 1 - p[y]], [q[y], 1 - q[y]])
        others = kl(probabilities(without(t, y), T), probabilities(without(s, y), T))
        parts.append((p[y], binary, others))
    return parts


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 20))
@settings(max_examples=30, deadline=None)
def test_dkd_is_the_weighted_sum_of_its_two_divergences(seed, T):
    student, teacher, labels = batch(seed)
    parts = decoupled_parts(student, teacher, labels, T)
    expected = T * T * sum(1.5 * binary + 8 * others for _, binary, others in parts) / len(parts)
    loss = dkd_loss(student, teacher, labels, alpha=1.5, beta=8.0, T=T)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 200))
@settings(max_examples=30, deadline=None)
def test_divergence_splits_into_label_and_others(seed, T):
    # KL = KL_binary + (1 - p_T,y) KL_non_target holds sample by sample: one sample at a time.
    student, teacher, labels = batch(seed, samples=1)
    p_label = rows(teacher, T)[0][labels.item()]
    whole = soft_target_loss(student, teacher, T)
    split = dkd_loss(student, teacher, labels, alpha=1.0, beta=1 - p_label, T=T)
    torch.testing.assert_close(split, whole, rtol=1e-7, atol=1e-10)


def test_dkd_gradient_matches_that_of_the_split_divergence():
    student, teacher, labels = batch(5, samples=1)
    p_label = rows(teacher, 4.0)[0][labels.item()]
    first, second = student.clone().requires_grad_(), student.clone().requires_grad_()
    dkd_loss(first, teacher, labels, 1.0, 1 - p_label, 4.0).backward()
    soft_target_loss(second, teacher, 4.0).backward()
    torch.testing.assert_close(first.grad, second.grad)


def test_two_classes_have_no_others_to_compare():
    student, teacher, labels = batch(6, classes=2)
    student.requires_grad_()
    only_others = dkd_loss(student, teacher, labels, alpha=0.0, beta=8.0, T=2.0)
    only_others.backward()
    assert only_others.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))
    torch.testing.assert_close(
        dkd_loss(student, teacher, labels, alpha=1.0, beta=8.0, T=2.0),
        soft_target_loss(student, teacher, 2.0),
    )


def test_confident_float32_networks_keep_their_target_divergence():
    labels = torch.tensor([0])
    student, teacher = torch.tensor([[21.0, 0.0, -1.0]]), torch.tensor([[23.0, 0.5, 0.0]])
    student.requires_grad_()
    loss = dkd_loss(student, teacher, labels, alpha=1.0, beta=0.0, T=1.0)
    loss.backward()
    exact = student.detach().double().requires_grad_()
    expected = dkd_loss(exact, teacher.double(), labels, alpha=1.0, beta=0.0, T=1.0)
    expected.backward()
    # Worked from the margins by hand: p = e^-m to first order.
    u, v = (math.exp(1 / 2) + 1) * math.exp(-23), (1 + math.exp(-1)) * math.exp(-21)
    assert expected.item() == pytest.approx(u * math.log(u / v) - u + v, rel=1e-6)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(student.grad.double(), exact.grad, rtol=1e-5, atol=0)


@pytest.mark.parametrize("loss", [dkd_loss, nkd_loss, lambda s, t, y: wsl_loss(s, t, y, 2.0)])
def test_a_class_the_teacher_rules_out_counts_nothing(loss):
    # Ruled out among the others, and the label itself.
    student, teacher, _ = batch(10, samples=2)
    teacher[:, 3] = -math.inf
    student.requires_grad_()
    value = loss(student, teacher, torch.tensor([1, 3]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda s, t, y, T: dkd_loss(s, t, y, 1.0, 8.0, T),
        lambda s, t, y, T: nkd_loss(s, t, y, 1.5, T),
        wsl_loss,
    ],
)
class TestArguments:
    def test_labels_must_be_class_indices(self, loss):
        student, teacher, labels = batch(11)
        with pytest.raises(ValueError, match="class indices"):
            loss(student, teacher, torch.full_like(student, 1 / 6), 2.0)
        with pytest.raises(ValueError, match="class indices"):
            loss(student, teacher, labels[:, None], 2.0)

    @pytest.mark.parametrize("T", [0.0, -1.0, math.nan, math.inf, 1001.0])
    def test_temperature_must_be_finite_and_positive(self, loss, T):
        with pytest.raises(ValueError, match="T must be in"):
            loss(*batch(12), T)
