import math

import pytest
import torch
import torch.nn.functional as F

from kdrun.losses import activation_attention_loss, attention_map, attention_map_loss
from tests.losses.reference import kl, wave


def maps(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).softmax(-1)


def test_attention_map_is_what_torch_attends_with():
    query, key = torch.randn(2, 2, 3, 5, 8, dtype=torch.float64).unbind()
    value = torch.eye(5, dtype=torch.float64).expand(2, 3, 5, 5)
    expected = F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attention_map(query, key), expected)


def test_attention_map_stays_exact_under_autocast():
    query, key = torch.randn(2, 2, 3, 5, 64).bfloat16().unbind()
    outside = attention_map(query.float(), key.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = attention_map(query, key)
    assert torch.equal(inside, outside)


def test_query_and_key_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="query and key must be"):
        attention_map(torch.zeros(2, 5, 8), torch.zeros(1, 5, 8))


def test_what_is_no_list_of_maps_and_no_map_is_refused():
    with pytest.raises(ValueError, match="query and key must be"):
        attention_map(torch.zeros(8), torch.zeros(8))
    with pytest.raises(ValueError, match="takes lists of maps"):
        activation_attention_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    for kind in ("mse", "kl"):
        with pytest.raises(ValueError, match="student_map must be probabilities"):
            attention_map_loss(torch.randn(2, 4, 4), torch.full((2, 4, 4), 0.25), kind=kind)


def test_squared_difference_of_maps_is_averaged_or_summed():
    student, teacher = maps(1, 2, 3, 4, 4), maps(2, 2, 3, 4, 4)
    expected = sum(
        (a - b) ** 2
        for a, b in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    )
    assert attention_map_loss(student, teacher, "sum").item() == pytest.approx(expected)
    assert attention_map_loss(student, teacher).item() == pytest.approx(expected / 96)


def test_divergence_of_maps_is_averaged_over_all_rows():
    student, teacher = maps(3, 2, 3, 4, 4), maps(4, 2, 3, 4, 4)
    pairs = zip(teacher.reshape(-1, 4).tolist(), student.reshape(-1, 4).tolist(), strict=True)
    expected = sum(kl(p, q) for p, q in pairs)
    mean = attention_map_loss(student, teacher, kind="kl")
    assert mean.item() == pytest.approx(expected / 24)
    assert attention_map_loss(student, teacher, "sum", "kl").item() == pytest.approx(expected)


def test_divergence_reaches_the_student_through_its_softmax():
    scores = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    teacher = maps(5, 2, 4, 4)
    attention_map_loss(scores.softmax(-1), teacher, kind="kl").backward()
    torch.testing.assert_close(scores.grad, (scores.detach().softmax(-1) - teacher) / 8)


def test_weights_that_underflowed_give_a_finite_divergence():
    student = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]], requires_grad=True)
    teacher = torch.tensor([[[0.5, 0.5], [1.0, 0.0]]])
    loss = attention_map_loss(student, teacher, kind="kl")
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_unequal_heads_are_averaged_on_both_sides(kind):
    student, teacher = maps(6, 2, 3, 4, 4), maps(7, 2, 5, 4, 4)
    torch.testing.assert_close(
        attention_map_loss(student, teacher, kind=kind),
        attention_map_loss(student.mean(1), teacher.mean(1), kind=kind),
    )


def test_unequal_token_counts_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        attention_map_loss(maps(8, 2, 3, 4, 4), maps(9, 2, 3, 5, 5))


def test_unknown_kinds_and_reductions_are_refused():
    student = maps(10, 2, 4, 4)
    with pytest.raises(ValueError, match="unknown kind of attention loss 'js'"):
        attention_map_loss(student, student, kind="js")
    with pytest.raises(ValueError, match="unknown reduction 'max'"):
        attention_map_loss(student, student, "max")


def test_activation_attention_agrees_with_the_value_of_another_implementation():
    student, teacher = wave((4, 3, 4, 4), 1, 0.13, 0.2), wave((4, 5, 4, 4), 1, 0.07, 0.5)
    loss = activation_attention_loss([student], [teacher])
    assert loss.item() == pytest.approx(0.00020439219637531593)


def test_activation_attention_sums_layers_of_any_size():
    sizes = [((2, 3, 8, 6), (2, 5, 4, 3)), ((2, 4, 5, 3), (2, 4, 7, 3))]
    pairs = [(torch.randn(s).double(), torch.randn(t).double()) for s, t in sizes]
    expected = 0.0
    for student, teacher in pairs:
        size = [min(a, b) for a, b in zip(student.shape[2:], teacher.shape[2:], strict=True)]
        for n in range(2):
            unit = []
            for layer in (student[n], teacher[n]):
                energy = F.adaptive_avg_pool2d(layer, size).square().mean(0).flatten()
                unit.append(energy / math.sqrt((energy @ energy).item()))
            expected += (unit[0] - unit[1]).square().mean().item() / 2
    loss = activation_attention_loss([s for s, _ in pairs], [t for _, t in pairs])
    assert loss.item() == pytest.approx(expected)


def test_activation_attention_ignores_the_scale_of_either_side():
    student, teacher = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 5, 4, 4).double()
    torch.testing.assert_close(
        activation_attention_loss([3 * student], [0.1 * teacher]),
        activation_attention_loss([student], [teacher]),
    )


def test_a_dead_layer_has_a_finite_loss_and_gradient():
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = activation_attention_loss([student], [torch.randn(2, 3, 4, 4)])
    loss.backward()
    assert loss.item() == pytest.approx(1 / 16)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize(("students", "teachers"), [(1, 2), (2, 1), (0, 0)])
def test_unmatched_layers_are_refused_not_dropped(students, teachers):
    layer = torch.randn(2, 3, 4, 4)
    with pytest.raises(ValueError, match=f"got {students} and {teachers}"):
        activation_attention_loss([layer] * students, [layer] * teachers)
