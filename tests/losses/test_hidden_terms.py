"""Terms that look at hidden states."""

import pytest
import torch

from kdrun.losses import (
    activation_attention_loss,
    attention_map_loss,
    rkd_angle_loss,
    rkd_distance_loss,
)
from kdrun.losses.alignment import Pair, aligned
from kdrun.losses.attention import ActivationAttentionTerm, AttentionMapTerm
from kdrun.losses.hint import FittedHintTerm, HintTerm
from kdrun.losses.rkd import AngleTerm, DistanceTerm
from kdrun.losses.term import Outputs, StepContext
from kdrun.training.objective import fit_terms

LOGITS, LABELS, NOW = torch.zeros(6, 3), torch.zeros(6).long(), StepContext(4.0)


def outputs(hidden, attention=None):
    return Outputs(LOGITS, hidden, attention or {})


@pytest.fixture
def maps():
    torch.manual_seed(0)
    student = {"a": torch.randn(6, 4, 8, 8, requires_grad=True), "b": torch.randn(6, 8, 4, 4)}
    teacher = {"x": torch.randn(6, 4, 8, 8), "y": torch.randn(6, 12, 2, 2)}
    return student, teacher


def test_hints_are_summed_over_the_pairs_and_zero_for_equal_states(maps):
    student, _ = maps
    pair = Pair("a", "a", 4, 4)
    once, twice = HintTerm([pair]), HintTerm([pair, pair])
    other = {"a": student["a"].detach() + 1}
    assert once(outputs(student), outputs(student), LABELS, NOW).item() == 0
    assert once(outputs(student), outputs(other), LABELS, NOW).item() == pytest.approx(1)
    assert twice(outputs(student), outputs(other), LABELS, NOW).item() == pytest.approx(2)


def test_a_hint_projects_only_where_widths_differ(maps):
    student, teacher = maps
    term = HintTerm([Pair("a", "x", 4, 4), Pair("b", "y", 8, 12)])
    assert {name for name, _ in term.named_parameters()} == {
        *("projectors.1.linear.weight", "projectors.1.norm.weight", "projectors.1.norm.bias")
    }
    loss = term(outputs(student), outputs(teacher), LABELS, NOW)
    loss.backward()
    assert student["a"].grad.abs().sum() > 0
    assert term.projectors[1].linear.weight.grad.abs().sum() > 0


def test_a_fitted_hint_falls_by_fitting_and_cannot_fall_by_shrinking(maps):
    student, teacher = maps
    term = FittedHintTerm([Pair("a", "x", 4, 4)])
    before = term(outputs(student), outputs(teacher), LABELS, NOW)
    fit_terms([term.epoch_fit()], [(outputs(student), outputs(teacher))])
    after = term(outputs(student), outputs(teacher), LABELS, NOW)
    shrunk = term(outputs({"a": student["a"] * 1e-3}), outputs(teacher), LABELS, NOW)
    assert after < before
    assert 0 < term.numbers()["unexplained"] < 1
    assert shrunk.item() == pytest.approx(after.item(), rel=1e-5)


def test_activation_attention_is_the_loss_over_all_pairs(maps):
    student, teacher = maps
    term = ActivationAttentionTerm([Pair("a", "x"), Pair("b", "y")])
    expected = activation_attention_loss(list(student.values()), list(teacher.values()))
    assert term(outputs(student), outputs(teacher), LABELS, NOW).item() == expected.item()


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_attention_maps_are_compared_pair_by_pair(kind):
    torch.manual_seed(0)
    student, teacher = ({n: torch.randn(6, 2, 5, 5).softmax(-1) for n in "ab"} for _ in range(2))
    term = AttentionMapTerm([Pair("a", "a"), Pair("b", "b")], kind)
    expected = sum(attention_map_loss(student[n], teacher[n], kind=kind) for n in "ab")
    value = term(outputs({}, student), outputs({}, teacher), LABELS, NOW)
    assert value.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("term", "loss"), [(DistanceTerm, rkd_distance_loss), (AngleTerm, rkd_angle_loss)]
)
def test_relations_of_maps_are_those_of_their_flat_vectors(maps, term, loss):
    student, teacher = maps
    value = term(Pair("b", "y"))(outputs(student), outputs(teacher), LABELS, NOW)
    expected = loss(student["b"].flatten(1), teacher["y"].flatten(1))
    assert value.item() == expected.item()


def test_tokens_meet_maps_as_maps():
    student, teacher = aligned(torch.randn(2, 8, 4, 4), torch.randn(2, 17, 6))
    assert student.shape == (2, 8, 4, 4)
    assert teacher.shape == (2, 6, 4, 4)


def test_unequal_numbers_of_tokens_are_refused():
    with pytest.raises(ValueError, match="differ in tokens"):
        aligned(torch.randn(2, 17, 6), torch.randn(2, 10, 6))
