import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import agreement, generalization_bound, mean_kl, train_test_gap
from tests.analysis.draws import labels, probs

THEOREMS = {"tv", "pinsker", "sqrt_kl", "seed_bound", "disagreement", "margin_certificate"}
# From near-equal to nearly one-hot rows, of few and many classes.
draws = given(
    seed=st.integers(0, 10_000), scale=st.floats(1e-9, 40), classes=st.sampled_from([2, 3, 10])
)


@draws
@settings(max_examples=80, deadline=None)
def test_every_bound_that_is_a_theorem_holds(seed, scale, classes):
    student, teacher = (probs(seed + side, 12, classes, scale) for side in (0, 20_000))
    result = generalization_bound(student, teacher, labels(seed, 12, classes))
    gap = abs(result.eps_gibbs_S - result.eps_gibbs_T)
    slack = 1e-15
    assert gap <= result.tv + slack
    assert result.tv <= result.pinsker + slack
    assert result.pinsker <= math.sqrt(result.d_kl)
    assert result.eps_gibbs_S <= result.seed_bound + slack
    assert result.eps_S <= result.eps_T + result.disagreement + slack
    assert result.disagreement <= result.margin_certificate
    assert all(result.holds[name] for name in THEOREMS)


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_bound_fields_are_what_their_names_say(seed):
    student, teacher, targets = probs(seed), probs(seed + 1), labels(seed)
    result = generalization_bound(student, teacher, targets)
    n = range(30)

    def wrong(rows):
        return sum(int(rows[i].argmax()) != int(targets[i]) for i in n) / 30

    def drawn_wrong(rows):
        return 1 - sum(rows[i, targets[i]].item() for i in n) / 30

    distances = [(student[i] - teacher[i]).abs().sum().item() / 2 for i in n]
    margins = [sorted(teacher[i].tolist())[-1] - sorted(teacher[i].tolist())[-2] for i in n]
    certain = [margin > 2 * tv for margin, tv in zip(margins, distances, strict=True)]
    assert (result.eps_S, result.eps_T) == pytest.approx((wrong(student), wrong(teacher)))
    assert result.eps_gibbs_S == pytest.approx(drawn_wrong(student))
    assert result.eps_gibbs_T == pytest.approx(drawn_wrong(teacher))
    assert result.d_kl == pytest.approx(mean_kl(student, teacher))
    assert result.tv == pytest.approx(sum(distances) / 30)
    assert result.pinsker == pytest.approx(math.sqrt(result.d_kl / 2))
    assert result.seed_bound == pytest.approx(drawn_wrong(teacher) + math.sqrt(result.d_kl))
    assert result.disagreement == pytest.approx(1 - agreement(student, teacher))
    assert result.margin_certificate == pytest.approx(1 - sum(certain) / 30)


def test_argmax_errors_break_the_bound_that_gibbs_errors_keep():
    teacher = torch.tensor([[0.501, 0.499]], dtype=torch.float64)
    student = torch.tensor([[0.499, 0.501]], dtype=torch.float64)
    result = generalization_bound(student, teacher, torch.tensor([0]))
    assert (result.eps_T, result.eps_S) == (0, 1)
    assert result.d_kl == pytest.approx(0.002 * math.log(0.501 / 0.499))
    assert result.seed_bound < 0.51
    assert {name for name, held in result.holds.items() if not held} == {"seed_bound_argmax"}
    assert result.disagreement == result.margin_certificate == 1


def test_a_student_that_equals_its_teacher_is_bounded_by_it():
    rows, targets = probs(1), labels(1)
    result = generalization_bound(rows, rows, targets)
    assert result.tv == result.d_kl == result.disagreement == result.margin_certificate == 0
    assert result.eps_S == result.eps_T
    assert all(result.holds.values())


def test_a_student_that_rules_out_the_teachers_class_has_no_finite_bound():
    certain = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    result = generalization_bound(certain.flip(1), certain, torch.tensor([0, 0]))
    assert result.d_kl == result.pinsker == result.seed_bound == math.inf
    assert result.tv == 1
    assert all(result.holds.values())


@given(seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_rounding_to_float32_breaks_no_bound(seed):
    teacher = probs(seed, 20, 10, dtype=torch.float32)
    nearby = (teacher * (1 + 1e-6 * probs(seed + 1, 20, 10, dtype=torch.float32))).contiguous()
    result = generalization_bound(nearby, teacher, labels(seed, 20, 10))
    assert result.tv <= result.pinsker
    assert all(result.holds[name] for name in THEOREMS)


@pytest.mark.parametrize("seed", range(10))
def test_a_bound_that_is_met_exactly_holds(seed):
    # Of one sample and two classes the Gibbs errors differ by the total variation.
    student, teacher = (probs(seed + side, 1, 2, 0.5) for side in (0, 20_000))
    result = generalization_bound(student, teacher, torch.tensor([0]))
    assert abs(result.eps_gibbs_S - result.eps_gibbs_T) == pytest.approx(result.tv)
    assert result.holds["tv"]


def test_a_tie_that_is_decided_otherwise_counts_as_uncertain():
    teacher = probs(3, 2000, 4, 1.0).sort(dim=1).values
    student = teacher.clone()
    # The student ties the teacher's two first, of which the other comes first.
    student[:, 2:] = teacher[:, 2:].mean(dim=1, keepdim=True)
    result = generalization_bound(student, teacher, torch.full((2000,), 3))
    assert result.disagreement > 0.9
    assert result.disagreement <= result.margin_certificate
    assert result.holds["margin_certificate"]


def test_train_test_gap_is_the_difference_of_the_errors():
    train = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    test = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    result = train_test_gap(train, torch.tensor([0, 0, 1, 1]), test, torch.tensor([1, 1]), 0.1)
    assert (result.train_error, result.test_error, result.gap) == (0.25, 0.5, 0.25)
    assert result.half_width == pytest.approx(math.sqrt(math.log(20) / 4))


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        generalization_bound(probs(2)[:, :4], probs(2), labels(2))
    with pytest.raises(ValueError, match="student_probs must be probabilities"):
        generalization_bound(2 * probs(2), probs(2), labels(2))
    with pytest.raises(ValueError, match="labels must be"):
        generalization_bound(probs(2), probs(2), probs(2))
    with pytest.raises(ValueError, match="test_probs must be"):
        train_test_gap(probs(2), labels(2), probs(2)[0], labels(2))
