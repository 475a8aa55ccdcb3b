"""The mixture: the same numbers as the formulas, and nothing computed for a weight of 0."""

import pytest
import torch
import torch.nn.functional as F

from kdrun.losses import distillation_loss, logit_mse_loss
from kdrun.objective import SOFT_LOSSES, Outputs, build_objective


def mixture(weights, soft="kl", label_smoothing=0.0):
    """(student logits, teacher logits, labels, T) -> raw terms, and their weighted sum."""
    objective = build_objective(weights, soft=soft, label_smoothing=label_smoothing)

    def terms(student, teacher, labels, T):
        return objective(Outputs(student), Outputs(teacher), labels, T)

    return terms, objective.total


@pytest.fixture
def logits():
    grid = torch.arange(60, dtype=torch.float64).reshape(6, 10)
    student = (3 * torch.sin(0.37 * grid)).requires_grad_()
    teacher = 4 * torch.sin(0.53 * grid + 1)
    return student, teacher, torch.arange(6) * 3 % 10


def test_the_mixture_is_the_distillation_loss_in_value_and_gradient(logits):
    student, teacher, labels = logits
    terms, total_of = mixture({"soft": 0.9, "hard": 0.1})
    total = total_of(terms(student, teacher, labels, 4.0))
    expected = distillation_loss(student, teacher, labels, alpha=0.9, T=4.0)
    assert total.item() == pytest.approx(5.320337669128242, abs=1e-10)
    assert total.item() == pytest.approx(expected.item(), abs=1e-12)
    ours, theirs = (torch.autograd.grad(x, student)[0] for x in (total, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_without_a_soft_term_the_mixture_is_cross_entropy_bit_for_bit(logits):
    student, _, labels = logits
    objective = build_objective({"hard": 1.0}, soft="none", label_smoothing=0.0)
    total = objective.total(objective(Outputs(student), None, labels, 4.0))
    expected = F.cross_entropy(student, labels)
    assert total.item() == expected.item()
    assert torch.equal(*(torch.autograd.grad(x, student)[0] for x in (total, expected)))


def test_a_term_without_weight_is_not_computed(logits):
    student, teacher, labels = logits
    terms, _ = mixture({"soft": 1.0})
    assert list(terms(student, teacher, labels, 1.0)) == ["soft"]


@pytest.mark.parametrize("soft", SOFT_LOSSES)
def test_every_soft_loss_pulls_the_student_to_the_teacher(logits, soft):
    student, teacher, labels = logits
    terms, _ = mixture({"soft": 1.0}, soft)
    before = terms(student, teacher, labels, 2.0)["soft"]
    (gradient,) = torch.autograd.grad(before, student)
    after = terms(student - 0.1 * gradient, teacher, labels, 2.0)["soft"]
    assert after < before


def test_the_raw_value_of_a_term_does_not_depend_on_its_weight(logits):
    student, teacher, labels = logits
    light, heavy = (
        mixture({"soft": w}, "logit_mse")[0](student, teacher, labels, 1.0)["soft"]
        for w in (0.1, 9.0)
    )
    assert light.item() == heavy.item() == logit_mse_loss(student, teacher).item()


def test_labels_may_be_probabilities(logits):
    student, teacher, labels = logits
    terms, _ = mixture({"soft": 0.5, "hard": 0.5}, label_smoothing=0.1)
    soft_labels = F.one_hot(labels, 10).double()
    hard, soft = (terms(student, teacher, given, 4.0)["hard"] for given in (labels, soft_labels))
    assert hard.item() == pytest.approx(soft.item(), abs=1e-12)
