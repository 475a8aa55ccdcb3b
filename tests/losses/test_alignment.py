import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from kdrun.losses import layer_map, match_spatial
from kdrun.losses.alignment import tokens_to_map


def test_only_feature_maps_have_a_spatial_size():
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        match_spatial(torch.zeros(2, 3), torch.zeros(2, 3, 4, 4))


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


@given(st.integers(1, 7), st.integers(1, 3), st.booleans())
def test_tokens_become_the_map_they_were_made_of(side, width, class_token):
    feature_map = torch.randn(2, width, side, side)
    tokens = feature_map.flatten(2).transpose(1, 2)
    # One patch and a class token are two tokens; one token is a map, not a class token.
    if class_token:
        tokens = torch.cat([torch.full((2, 1, width), torch.nan), tokens], dim=1)
    assert torch.equal(tokens_to_map(tokens), feature_map)


@pytest.mark.parametrize("length", [3, 7, 198])
def test_tokens_of_no_square_are_refused(length):
    with pytest.raises(ValueError, match=f"^{length} tokens do not form a square map"):
        tokens_to_map(torch.zeros(2, length, 4))


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
