import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import attention_information, compare_attention
from tests.analysis.draws import maps


def entropy(row):
    return -math.fsum(p * math.log(p) for p in row if p > 0)


def looped(layer):
    """Of (N, L, L) lists: each query for itself."""
    samples, tokens = len(layer), len(layer[0])
    total = 0.0
    for query in range(tokens):
        rows = [layer[n][query] for n in range(samples)]
        mean = [math.fsum(column) / samples for column in zip(*rows, strict=True)]
        total += entropy(mean) - sum(map(entropy, rows)) / samples
    return total / tokens


@given(seed=st.integers(0, 1000), scale=st.floats(0, 20))
@settings(max_examples=25, deadline=None)
def test_information_is_the_entropy_that_the_image_takes_away(seed, scale):
    layer = maps(seed, scale=scale)
    per_head = [looped(layer[:, head].tolist()) for head in range(3)]
    assert attention_information(layer) == pytest.approx(sum(per_head) / 3, abs=1e-12)
    assert attention_information(layer[:, 0]) == pytest.approx(per_head[0], abs=1e-12)


def test_information_spans_from_fixed_to_chosen_by_the_image():
    fixed = maps(1, samples=1).expand(4, -1, -1, -1)
    assert attention_information(fixed) == pytest.approx(0, abs=1e-12)
    chosen = torch.eye(4)[:, None, :].expand(4, 4, 4)
    assert attention_information(chosen) == pytest.approx(math.log(4))


def test_information_does_not_depend_on_the_order_of_images_heads_or_positions():
    layer = maps(2)
    moved = layer.flip(0).roll(1, 1)[..., torch.tensor([3, 0, 4, 2, 1])]
    assert attention_information(moved) == pytest.approx(attention_information(layer))


@given(
    seed=st.integers(0, 1000),
    scale=st.floats(0.01, 30),
    tokens=st.sampled_from([1, 2, 5]),
    nearness=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_gap_never_exceeds_its_bound(seed, scale, tokens, nearness):
    teacher = maps(seed, tokens=tokens, scale=scale)
    student = nearness * teacher + (1 - nearness) * maps(seed + 1, tokens=tokens, scale=scale)
    result = compare_attention(student, teacher)
    assert result.student == attention_information(student)
    assert result.teacher == attention_information(teacher)
    assert result.gap == abs(result.student - result.teacher)
    assert result.gap <= result.bound + 1e-12
    assert result.mean_tv == pytest.approx((student - teacher).abs().sum(-1).mean().item() / 2)


def test_bound_has_its_closed_form_up_to_its_largest_value():
    teacher = torch.eye(4).expand(2, 4, 4)
    student = 0.9 * teacher + 0.1 * teacher.flip(-1)
    result = compare_attention(student, teacher)
    binary = entropy([0.1, 0.9])
    assert result.mean_tv == pytest.approx(0.1)
    assert result.bound == pytest.approx(2 * (0.1 * math.log(3) + binary), rel=1e-6)
    apart = compare_attention(teacher.flip(-1), teacher)
    assert apart.mean_tv == 1
    assert apart.bound == pytest.approx(2 * math.log(4))


def test_heads_are_averaged_where_their_numbers_differ():
    student, teacher = maps(3), maps(4, heads=2)
    result = compare_attention(student, teacher)
    assert result == compare_attention(student.mean(1), teacher.mean(1))


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="same images and tokens"):
        compare_attention(maps(5), maps(5, tokens=4))
    with pytest.raises(ValueError, match="same images and tokens"):
        compare_attention(maps(5), maps(5, samples=5))
    with pytest.raises(ValueError, match=r"maps must be \(N, heads, L, L\)"):
        attention_information(maps(5)[..., :4])
    with pytest.raises(ValueError, match="maps must be probabilities"):
        attention_information(2 * maps(5))
