import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from kdrun.losses import hint_loss, layer_map, match_spatial


def test_hint_is_the_squared_difference_averaged_or_summed():
    student = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 2.0], [1.0, 7.0]])
    assert hint_loss(student, teacher, "sum").item() == 1 + 0 + 4 + 9
    loss = hint_loss(student, teacher)
    loss.backward()
    assert loss.item() == 14 / 4
    torch.testing.assert_close(student.grad, (student.detach() - teacher) / 2)


def test_hint_of_feature_maps_pools_the_larger_to_the_smaller():
    student, teacher = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)
    pooled = student.reshape(2, 3, 4, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(hint_loss(student, teacher), (pooled - teacher).square().mean())
    torch.testing.assert_close(hint_loss(teacher, student), (pooled - teacher).square().mean())


@pytest.mark.parametrize(
    ("student_size", "teacher_size", "common"),
    [
        ((8, 8), (4, 4), (4, 4)),
        ((4, 4), (8, 8), (4, 4)),
        ((7, 9), (3, 4), (3, 4)),
        ((4, 9), (8, 3), (4, 3)),
        ((5, 5), (5, 5), (5, 5)),
    ],
)
def test_maps_meet_at_the_smaller_height_and_width(student_size, teacher_size, common):
    student, teacher = torch.randn(2, 3, *student_size), torch.randn(2, 5, *teacher_size)
    small_student, small_teacher = match_spatial(student, teacher)
    torch.testing.assert_close(small_student, F.adaptive_avg_pool2d(student, common))
    torch.testing.assert_close(small_teacher, F.adaptive_avg_pool2d(teacher, common))


def test_only_feature_maps_have_a_spatial_size():
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        match_spatial(torch.zeros(2, 3), torch.zeros(2, 3, 4, 4))


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="unknown reduction 'none'"):
        hint_loss(torch.zeros(2, 3), torch.zeros(2, 3), "none")


@pytest.mark.parametrize(
    ("num_student", "num_teacher", "expected"),
    [
        (4, 4, [1, 2, 3, 4]),
        (4, 12, [3, 6, 9, 12]),
        (3, 4, [1, 3, 4]),
        (2, 3, [2, 3]),
        (1, 9, [9]),
        (5, 2, [1, 1, 1, 2, 2]),
    ],
)
def test_layers_are_mapped_in_proportion(num_student, num_teacher, expected):
    assert layer_map(num_student, num_teacher) == expected


@given(num_student=st.integers(1, 60), extra=st.integers(0, 100))
def test_layer_map_is_the_rounded_proportion(num_student, extra):
    num_teacher = num_student + extra
    layers = layer_map(num_student, num_teacher)
    assert layers == [
        math.floor(layer * num_teacher / num_student + 0.5) for layer in range(1, num_student + 1)
    ]
    assert layers[-1] == num_teacher
    assert len(set(layers)) == num_student


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        layer_map(0, 3)
