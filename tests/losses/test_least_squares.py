import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.losses import ProjectionFit, fit_projection


def hidden(seed, samples=40, teacher_width=6, student_width=3):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(samples, teacher_width + student_width, generator=generator).double()
    return draw[:, :teacher_width], draw[:, teacher_width:] + draw[:, :student_width]


def test_projection_has_the_worked_value():
    teacher = torch.tensor([[1.0, 1.0], [2.0, 0.0], [3.0, 1.0], [4.0, 0.0]])
    student = torch.tensor([[2.0], [1.0], [0.0], [1.0]])
    weight, bias = fit_projection(teacher, student)
    torch.testing.assert_close(weight, torch.tensor([[2 / 11, 7 / 11]]))
    assert bias is None


@given(seed=st.integers(0, 1000), ridge=st.sampled_from([0.0, 0.5, 30.0]))
@settings(max_examples=25, deadline=None)
def test_projection_is_least_squares_with_the_ridge_as_extra_rows(seed, ridge):
    teacher, student = hidden(seed)
    weight, _ = fit_projection(teacher, student, ridge=ridge)
    design = np.vstack([teacher, np.sqrt(ridge) * np.eye(6)])
    target = np.vstack([student, np.zeros((6, 3))])
    expected = np.linalg.lstsq(design, target, rcond=None)[0].T
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_affine_projection_leaves_the_bias_unpenalised(offset):
    teacher, student = hidden(1)
    weight, bias = fit_projection(teacher + offset, student - 7, ridge=2.0, affine=True)
    centred, _ = fit_projection(teacher - teacher.mean(0), student - student.mean(0), ridge=2.0)
    torch.testing.assert_close(weight, centred)
    expected = (student - 7).mean(0) - weight @ (teacher + offset).mean(0)
    torch.testing.assert_close(bias, expected)


def test_dead_and_repeated_units_get_the_solution_of_least_norm():
    teacher, student = hidden(2)
    teacher[:, 1] = 0
    teacher[:, 4] = 2 * teacher[:, 3]
    for features in (teacher, teacher.float()):
        weight, _ = fit_projection(features, student.to(features.dtype))
        expected = (np.linalg.pinv(teacher.numpy()) @ student.numpy()).T
        tolerance = 1e-9 if features.dtype == torch.float64 else 1e-5
        np.testing.assert_allclose(weight.numpy(), expected, rtol=tolerance, atol=tolerance)


def test_more_units_than_samples_fit_exactly_with_least_norm():
    teacher, student = hidden(3, samples=4)
    weight, _ = fit_projection(teacher, student)
    torch.testing.assert_close(teacher @ weight.T, student)
    expected = (np.linalg.pinv(teacher.numpy()) @ student.numpy()).T
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("affine", [False, True])
def test_batches_of_any_size_add_up_to_the_whole(affine):
    teacher, student = hidden(4)
    teacher = teacher + 50
    fit = ProjectionFit(6, 3)
    for start, stop in [(0, 1), (1, 18), (18, 40)]:
        fit.update(teacher[start:stop], student[start:stop])
    weight, bias, _ = fit.solve(ridge=0.3, affine=affine)
    whole_weight, whole_bias = fit_projection(teacher, student, 0.3, affine)
    torch.testing.assert_close(weight, whole_weight, rtol=1e-9, atol=1e-10)
    if affine:
        torch.testing.assert_close(bias, whole_bias, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("affine", [False, True])
def test_unexplained_share_is_the_residual_over_the_squares(affine):
    teacher, student = hidden(5)
    student = student + 3
    fit = ProjectionFit(6, 3)
    fit.update(teacher, student)
    weight, bias, unexplained = fit.solve(affine=affine)
    predicted = teacher @ weight.T + (bias if affine else 0)
    squares = (student - student.mean(0) if affine else student).square().sum()
    expected = (student - predicted).square().sum() / squares
    assert unexplained == pytest.approx(expected.item(), rel=1e-9)


def test_unexplained_share_spans_from_all_to_nothing():
    teacher, student = hidden(6)
    perfect, hopeless, constant = (ProjectionFit(6, 3) for _ in range(3))
    perfect.update(teacher, teacher[:, :3] * 2)
    hopeless.update(torch.zeros_like(teacher), student)
    constant.update(teacher, torch.ones_like(student))
    assert perfect.solve().unexplained == pytest.approx(0, abs=1e-12)
    assert hopeless.solve().unexplained == 1
    assert constant.solve(affine=True).unexplained == 0


def test_projection_comes_back_in_the_students_precision_without_gradient():
    teacher, student = (x.float().requires_grad_() for x in hidden(7))
    weight, bias = fit_projection(teacher, student, affine=True)
    assert (weight.dtype, bias.dtype) == (torch.float32, torch.float32)
    assert (weight.shape, bias.shape) == ((3, 6), (3,))
    assert not weight.requires_grad
    assert not bias.requires_grad


def test_bad_arguments_are_refused():
    teacher, student = hidden(8)
    with pytest.raises(ValueError, match="same samples"):
        fit_projection(teacher, student[:-1])
    with pytest.raises(ValueError, match="same samples"):
        fit_projection(teacher[None], student[None])
    with pytest.raises(ValueError, match="ridge must be at least 0"):
        fit_projection(teacher, student, ridge=-1.0)
    with pytest.raises(ValueError, match="at least one sample"):
        fit_projection(teacher[:0], student[:0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_hidden_states_that_are_not_finite_are_refused(side, value):
    states = [x.clone() for x in hidden(9)]
    states[side][1, 2] = value
    with pytest.raises(ValueError, match="hidden states must be finite"):
        fit_projection(*states)
