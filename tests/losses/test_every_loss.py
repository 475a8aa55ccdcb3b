"""What holds for each loss alike."""

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import kdrun.losses
from kdrun.losses import (
    activation_attention_loss,
    attention_map,
    attention_map_loss,
    cross_entropy_loss,
    dist_loss,
    distillation_loss,
    dkd_loss,
    hard_target_loss,
    hint_loss,
    learned_temperature_loss,
    logit_mse_loss,
    nkd_loss,
    rkd_angle_loss,
    rkd_distance_loss,
    soft_probability_loss,
    soft_target_loss,
    standardize_logits,
    wsl_loss,
)
from tests.losses.reference import wave


class Case(NamedTuple):
    loss: Callable
    student_shape: tuple[int, ...] = (5, 4)
    teacher_shape: tuple[int, ...] = (5, 4)
    minimal_at_teacher: bool = True


def attends(query):
    key = wave(query.shape, 1, 0.7).bfloat16().to(query)
    return attention_map(query, key)


def first_classes(logits):
    return torch.arange(len(logits), device=logits.device) % logits.shape[1]


CASES = {
    "soft_target": Case(lambda s, t: soft_target_loss(s, t, 4.0)),
    "soft_target_cold": Case(lambda s, t: soft_target_loss(s, t, 0.1)),
    "soft_target_hot": Case(lambda s, t: soft_target_loss(s, t, 200.0)),
    "soft_target_infinite": Case(lambda s, t: soft_target_loss(s, t, math.inf)),
    "soft_probability": Case(
        lambda s, t: soft_probability_loss(s, torch.softmax(t.float() / 2, 1), 2.0)
    ),
    "learned_temperature": Case(lambda s, t: learned_temperature_loss(s, t, torch.tensor(4.0))),
    "standardised": Case(
        lambda s, t: soft_target_loss(standardize_logits(s), standardize_logits(t), 2.0)
    ),
    "cross_entropy": Case(
        lambda s, t: cross_entropy_loss(s, first_classes(s)), minimal_at_teacher=False
    ),
    "distillation": Case(
        lambda s, t: distillation_loss(s, t, first_classes(s), 0.5, 4.0), minimal_at_teacher=False
    ),
    "logit_mse": Case(logit_mse_loss),
    "hard_target": Case(hard_target_loss, minimal_at_teacher=False),
    "dkd": Case(lambda s, t: dkd_loss(s, t, first_classes(s))),
    "dkd_hot": Case(lambda s, t: dkd_loss(s, t, first_classes(s), T=60.0)),
    "nkd": Case(lambda s, t: nkd_loss(s, t, first_classes(s)), minimal_at_teacher=False),
    "wsl": Case(lambda s, t: wsl_loss(s, t, first_classes(s), 2.0), minimal_at_teacher=False),
    "dist": Case(lambda s, t: dist_loss(s, t, 2.0, 2.0, 1.0)),
    "hint": Case(hint_loss),
    "hint_maps": Case(hint_loss, (5, 3, 4, 4), (5, 3, 6, 6)),
    "attention_map": Case(
        lambda s, t: attention_map_loss(attends(s), attends(t)),
        (2, 2, 5, 4),
        (2, 2, 5, 8),
    ),
    "attention_map_kl": Case(
        lambda s, t: attention_map_loss(attends(s), attends(t), kind="kl"),
        (2, 3, 5, 4),
        (2, 2, 5, 8),
    ),
    "activation_attention": Case(
        lambda s, t: activation_attention_loss([s], [t]), (5, 3, 4, 6), (5, 2, 8, 3)
    ),
    "rkd_distance": Case(rkd_distance_loss, (5, 4), (5, 6)),
    "rkd_angle": Case(rkd_angle_loss, (5, 4), (5, 6)),
}
LOGIT_CASES = [name for name, case in CASES.items() if case.student_shape == (5, 4)]


def every_but(*left_out):
    kept = {name: case for name, case in CASES.items() if name not in left_out}
    return pytest.mark.parametrize("case", kept.values(), ids=kept)


EVERY = every_but()


def inputs(case, seed=0, dtype=torch.float64, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
        for shape in (case.student_shape, case.teacher_shape)
    )


def value_and_gradient(loss, student, teacher):
    student = student.clone().requires_grad_()
    value = loss(student, teacher)
    value.backward()
    return value.detach(), student.grad


def test_every_public_loss_is_a_case():
    public = {name for name in kdrun.losses.__all__ if name.endswith("_loss")}
    tried = {name for name in public if name in globals()}
    assert tried == public


# The weight of wsl is meant to have no gradient.
@every_but("wsl")
def test_gradient_matches_finite_differences(case):
    student, teacher = inputs(case, seed=1)
    assert torch.autograd.gradcheck(lambda x: case.loss(x, teacher), student.requires_grad_())


@EVERY
@pytest.mark.parametrize(
    ("given_dtype", "returned"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_value_is_at_least_float32_and_gradient_in_the_input_type(case, given_dtype, returned):
    student, teacher = inputs(case, dtype=given_dtype)
    value, gradient = value_and_gradient(case.loss, student, teacher)
    assert value.dtype == returned
    assert value.shape == ()
    assert gradient.dtype == given_dtype


@EVERY
def test_autocast_changes_no_bit(case):
    student, teacher = inputs(case, dtype=torch.bfloat16)
    expected, gradient = value_and_gradient(case.loss, student.float(), teacher.float())
    student.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = case.loss(student, teacher)
    value.backward()
    assert torch.equal(value, expected)
    assert torch.equal(student.grad, gradient.bfloat16())


@EVERY
def test_float32_is_close_to_float64(case):
    student, teacher = inputs(case, dtype=torch.float32)
    value, gradient = value_and_gradient(case.loss, student, teacher)
    exact, exact_gradient = value_and_gradient(case.loss, student.double(), teacher.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-3, atol=1e-5)


@EVERY
def test_teacher_takes_no_gradient(case):
    student, teacher = inputs(case)
    teacher.requires_grad_()
    value_and_gradient(case.loss, student, teacher)
    assert teacher.grad is None


@EVERY
def test_no_step_waits_for_the_device(case):
    # Fake tensors hold no data: .item() or a branch on a value raises, and so do two devices in
    # one operation. Gradients would need the device to be there.
    with FakeTensorMode():
        student = torch.empty(case.student_shape, device="cuda")
        loss = case.loss(student, torch.empty(case.teacher_shape, device="cuda"))
    assert (loss.shape, loss.device.type) == ((), "cuda")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.minimal_at_teacher])
def test_a_copy_of_the_teacher_has_no_loss_and_no_gradient(name):
    loss, _, shape, _ = CASES[name]
    _, teacher = inputs(CASES[name], seed=2)
    value, gradient = value_and_gradient(loss, teacher, teacher)
    assert value.abs().item() < 1e-6
    assert gradient.abs().max().item() < 1e-6
    assert gradient.shape == shape


@EVERY
@pytest.mark.parametrize("fill", [0.0, 1.0, -3e4])
def test_constant_inputs_have_finite_value_and_gradient(case, fill):
    student, teacher = inputs(case, dtype=torch.float32)
    constant = torch.full_like(student, fill)
    for target in (teacher, torch.full_like(teacher, fill)):
        value, gradient = value_and_gradient(case.loss, constant, target)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@EVERY
@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_tiny_and_huge_inputs_have_finite_value_and_gradient(case, scale):
    student, teacher = inputs(case, seed=3, dtype=torch.float32, scale=scale)
    for target in (teacher, -teacher):
        value, gradient = value_and_gradient(case.loss, student, target)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOGIT_CASES)
@pytest.mark.parametrize("shape", [(1, 2), (1, 10), (2, 2), (3, 2), (3, 10)])
@pytest.mark.filterwarnings("ignore:the rkd")
def test_small_batches_and_two_classes_have_finite_value_and_gradient(name, shape):
    case = CASES[name]._replace(student_shape=shape, teacher_shape=shape)
    student, teacher = inputs(case, dtype=torch.float32)
    value, gradient = value_and_gradient(case.loss, student, teacher)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@EVERY
def test_an_empty_batch_is_refused(case):
    student, teacher = inputs(case)
    with pytest.raises(ValueError, match="at least one sample"):
        case.loss(student[:0], teacher[:0])


@EVERY
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_never_comes_out_finite(case, side, value):
    given = list(inputs(case))
    given[side][1] = value
    if case is CASES["cross_entropy"] and side == 1:
        return  # which has no teacher
    assert not torch.isfinite(case.loss(*given))


@every_but("cross_entropy")
def test_unequal_batches_are_refused_not_broadcast(case):
    student, teacher = inputs(case)
    with pytest.raises(ValueError, match=r"got \(|differ in shape"):
        case.loss(student, teacher[:1])


@pytest.mark.parametrize(
    "name",
    sorted(set(LOGIT_CASES) - {"cross_entropy", "standardised", "rkd_distance", "rkd_angle"}),
)
def test_unequal_widths_are_refused_not_broadcast(name):
    student, teacher = inputs(CASES[name])
    with pytest.raises(ValueError, match="differ in shape"):
        CASES[name].loss(student, teacher[:, :1])
