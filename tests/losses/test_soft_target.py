import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses import (
    cross_entropy_loss,
    distillation_loss,
    hard_target_loss,
    logit_mse_loss,
    soft_probability_loss,
    soft_target_loss,
    standardize_logits,
)
from kdrun.losses.temperature import softmax_with_temperature
from tests.losses.reference import PEER_LABELS, PEER_STUDENT, PEER_TEACHER, kl, pair, rows

temperatures = st.floats(0.5, 1000)


def reference_soft_target(student, teacher, T):
    p, q = rows(teacher, T), rows(student, T)
    return T * T * sum(kl(p_n, q_n) for p_n, q_n in zip(p, q, strict=True)) / len(p)


def test_soft_target_loss_has_the_worked_value():
    student = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
    teacher = torch.tensor([[2.0, 1.0, 0.1]], dtype=torch.float64)
    assert soft_target_loss(student, teacher, 2.0).item() == pytest.approx(
        0.407819776941, abs=1e-12
    )


def test_losses_agree_with_the_values_of_other_implementations():
    student, teacher, labels = PEER_STUDENT, PEER_TEACHER, PEER_LABELS
    assert cross_entropy_loss(student, labels).item() == pytest.approx(3.312788645333102)
    assert soft_target_loss(student, teacher, 4.0).item() == pytest.approx(5.543398671772146)
    mixed = distillation_loss(student, teacher, labels, alpha=0.9, T=4.0)
    assert mixed.item() == pytest.approx(5.320337669128242)


@given(seed=st.integers(0, 1000), T=temperatures)
@settings(max_examples=40, deadline=None)
def test_soft_target_loss_is_the_divergence_summed_over_classes(seed, T):
    student, teacher = pair(seed)
    loss = soft_target_loss(student, teacher, T).item()
    assert loss == pytest.approx(reference_soft_target(student, teacher, T), rel=1e-6)
    unscaled = soft_target_loss(student, teacher, T, scale_T2=False).item()
    assert unscaled * T * T == pytest.approx(loss, rel=1e-12)


@given(seed=st.integers(0, 1000), T=temperatures)
@settings(max_examples=40, deadline=None)
def test_soft_target_gradient_matches_closed_form(seed, T):
    student, teacher = pair(seed)
    student.requires_grad_()
    soft_target_loss(student, teacher, T).backward()
    p, q = softmax_with_temperature(teacher, T), softmax_with_temperature(student.detach(), T)
    torch.testing.assert_close(student.grad, T * (q - p) / len(student))


@given(seed=st.integers(0, 1000), T=temperatures | st.just(math.inf), shift=st.floats(-50, 50))
@settings(max_examples=40, deadline=None)
def test_soft_target_loss_ignores_a_constant_added_to_a_row(seed, T, shift):
    student, teacher = pair(seed)
    expected = soft_target_loss(student, teacher, T)
    torch.testing.assert_close(soft_target_loss(student + shift, teacher, T), expected)
    torch.testing.assert_close(soft_target_loss(student, teacher - shift, T), expected)


def test_infinite_temperature_is_the_limit():
    student, teacher = pair(3)
    student.requires_grad_()
    limit = soft_target_loss(student, teacher, math.inf)
    difference = (student - teacher).detach()
    centred = difference - difference.mean(1, keepdim=True)
    expected = sum((row @ row).item() for row in centred) / (2 * 7 * 5)
    assert limit.item() == pytest.approx(expected)
    assert soft_target_loss(student, teacher, 1000.0).item() == pytest.approx(expected, rel=0.01)
    limit.backward()
    torch.testing.assert_close(student.grad, centred / (7 * 5))


def test_infinite_temperature_unscaled_is_a_differentiable_zero():
    student, teacher = pair(4)
    student.requires_grad_()
    loss = soft_target_loss(student, teacher, math.inf, scale_T2=False)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


@pytest.mark.parametrize("T", [50.0, 200.0, 1000.0])
def test_float32_logits_keep_their_digits_at_high_temperature(T):
    student, teacher = pair(5, dtype=torch.float32)
    student.requires_grad_()
    loss = soft_target_loss(student, teacher, T)
    loss.backward()
    exact = student.detach().double().requires_grad_()
    expected = soft_target_loss(exact, teacher.double(), T)
    expected.backward()
    assert loss.dtype == student.grad.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(student.grad, exact.grad.float())


def test_a_class_the_teacher_rules_out_counts_nothing():
    student = torch.tensor([[1.0, 2.0, 0.5, 9.0]], requires_grad=True)
    teacher = torch.tensor([[2.0, 1.0, 0.1, -math.inf]])
    loss = soft_target_loss(student, teacher, 2.0)
    loss.backward()
    p, q = rows(teacher[:, :3], 2.0)[0], rows(student.detach(), 2.0)[0][:3]
    assert loss.item() == pytest.approx(4 * kl(p, q), rel=1e-5)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("T", [1.0, 4.0, 100.0])
def test_a_class_that_both_sides_rule_out_is_as_if_it_were_not_there(T):
    student, teacher = (x.clone() for x in pair(14))
    without = soft_target_loss(student[:, 1:], teacher[:, 1:], T)
    student[:, 0] = teacher[:, 0] = -math.inf
    student.requires_grad_()
    loss = soft_target_loss(student, teacher, T)
    loss.backward()
    torch.testing.assert_close(loss, without)
    assert torch.isfinite(student.grad).all()


def test_a_class_the_student_rules_out_and_the_teacher_does_not_costs_infinitely():
    student, teacher = (x.clone() for x in pair(15))
    student[:, 0] = -math.inf
    assert soft_target_loss(student, teacher, 4.0) == math.inf


def test_the_scaled_loss_vanishes_as_T_goes_to_zero():
    teacher, student = torch.tensor([[2.0, 2.0, 0.1]]), torch.tensor([[0.1, 2.0, 2.0]])
    for T in (1e-3, 1e-20, 1e-40, 1e-200):
        # T^2 KL tends to T times the mean gap of the teacher's largest: (1.9 + 0) / 2.
        loss = soft_target_loss(student.double(), teacher.double(), T)
        assert loss.item() == pytest.approx(0.95 * T, rel=1e-2)


def test_a_non_finite_student_shows_in_the_loss():
    student, teacher = pair(6)
    student[0, 0] = math.inf
    for T in (4.0, math.inf):
        assert not torch.isfinite(soft_target_loss(student, teacher, T))


def test_alpha_zero_is_the_plain_loss_bit_for_bit():
    student, _ = pair(7, dtype=torch.float32)
    plain = student.clone().requires_grad_()
    student.requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 4])
    loss = distillation_loss(student, None, labels, alpha=0.0, T=4.0, label_smoothing=0.1)
    expected = F.cross_entropy(plain, labels, label_smoothing=0.1)
    loss.backward()
    expected.backward()
    assert torch.equal(loss, expected)
    assert torch.equal(student.grad, plain.grad)


def test_alpha_zero_does_not_look_at_the_teacher():
    student, teacher = pair(8)
    labels = torch.zeros(5, dtype=torch.long)
    loss = distillation_loss(student, teacher * math.nan, labels, alpha=0, T=4.0)
    assert torch.equal(loss, F.cross_entropy(student, labels))


def test_alpha_one_needs_no_labels():
    student, teacher = pair(9)
    loss = distillation_loss(student, teacher, None, alpha=1, T=4.0)
    assert torch.equal(loss, soft_target_loss(student, teacher, 4.0))


@pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
def test_alpha_out_of_range_is_refused(alpha):
    student, teacher = pair(10)
    with pytest.raises(ValueError, match="alpha must be in"):
        distillation_loss(student, teacher, torch.zeros(5, dtype=torch.long), alpha, 4.0)


def test_a_missing_teacher_or_label_is_named():
    student, teacher = pair(11)
    with pytest.raises(ValueError, match=r"alpha=0.5 needs teacher_logits"):
        distillation_loss(student, None, torch.zeros(5, dtype=torch.long), 0.5, 4.0)
    with pytest.raises(ValueError, match=r"alpha=0.5 needs labels"):
        distillation_loss(student, teacher, None, 0.5, 4.0)


def test_one_hot_probabilities_are_labels_too():
    student, teacher = pair(12)
    labels = torch.tensor([6, 0, 2, 2, 5])
    indexed = distillation_loss(student, teacher, labels, 0.3, 2.0)
    one_hot = F.one_hot(labels, 7).float()
    torch.testing.assert_close(distillation_loss(student, teacher, one_hot, 0.3, 2.0), indexed)


def test_labels_of_another_shape_are_refused():
    student, _ = pair(13)
    with pytest.raises(ValueError, match=r"labels must be .* got \(5, 1\)"):
        cross_entropy_loss(student, torch.zeros(5, 1))


def test_labels_may_be_of_any_integer_type():
    student, teacher = pair(16)
    labels = torch.tensor([6, 0, 2, 2, 5])
    expected = distillation_loss(student, teacher, labels, 0.3, 2.0)
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert torch.equal(
            distillation_loss(student, teacher, labels.to(dtype), 0.3, 2.0), expected
        )


@pytest.mark.parametrize(
    "labels",
    [
        torch.full((5,), 7),
        torch.tensor([0, 1, 2, 3, -100]),  # which PyTorch would leave out without a word
        torch.zeros(5),
        torch.zeros(5, dtype=torch.bool),
        torch.ones(5, 7),
        torch.eye(7)[:5] * 2 - torch.eye(7)[1:6],
    ],
)
def test_labels_that_are_neither_classes_nor_probabilities_are_refused(labels):
    student, _ = pair(17)
    with pytest.raises(ValueError, match="labels must be"):
        cross_entropy_loss(student, labels)


def test_probabilities_that_are_none_are_refused():
    student, teacher = pair(18)
    with pytest.raises(ValueError, match="teacher_probs must be probabilities"):
        soft_probability_loss(student, teacher, 2.0)


def test_a_temperature_out_of_range_is_refused_whatever_alpha():
    with pytest.raises(ValueError, match="T must be in"):
        distillation_loss(pair(19)[0], None, torch.zeros(5, dtype=torch.long), 0.0, -1.0)


def test_logit_mse_is_half_the_squared_distance_of_a_sample():
    student, teacher = pair(14)
    student.requires_grad_()
    loss = logit_mse_loss(student, teacher)
    loss.backward()
    difference = (student - teacher).detach()
    assert loss.item() == pytest.approx(sum(0.5 * (row @ row).item() for row in difference) / 5)
    torch.testing.assert_close(student.grad, difference / 5)


def test_hard_target_is_cross_entropy_against_the_teachers_first_class():
    student, teacher = pair(15)
    picked = [rows(student, 1.0)[n][int(teacher[n].argmax())] for n in range(5)]
    expected = -sum(math.log(q) for q in picked) / 5
    assert hard_target_loss(student, teacher).item() == pytest.approx(expected)


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
@settings(max_examples=25, deadline=None)
def test_standardised_logits_have_mean_zero_and_deviation_one_whatever_the_scale(
    seed, scale, shift
):
    logits, _ = pair(seed)
    standard = standardize_logits(scale * logits + shift)
    torch.testing.assert_close(standard.sum(1), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(
        standard.square().sum(1) / 6, torch.ones(5, dtype=torch.float64), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(standard, standardize_logits(logits), rtol=1e-4, atol=1e-4)


def test_standardising_equal_logits_gives_zeros_and_a_finite_gradient():
    logits = torch.full((2, 4), 3.0, requires_grad=True)
    standard = standardize_logits(logits)
    (standard * torch.arange(4)).sum().backward()
    assert torch.equal(standard, torch.zeros(2, 4))
    assert torch.isfinite(logits.grad).all()
