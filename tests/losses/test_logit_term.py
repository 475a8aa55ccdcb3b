"""The mixture: the same numbers as the formulas, and nothing computed for a weight of 0."""

import pytest
import torch
import torch.nn.functional as F

from kdrun.losses import distillation_loss, logit_mse_loss
from kdrun.losses.label import LabelTerm
from kdrun.losses.term import Outputs, StepContext
from kdrun.training.objective import Objective
from tests.losses.make_term import SOFT_TERMS, logit_term
from tests.losses.reference import PEER_LABELS, PEER_STUDENT, PEER_TEACHER


def mixture(weights, soft="kl", label_smoothing=0.0):
    """(student logits, teacher logits, labels, T) -> raw terms, and their weighted sum."""
    makers = {
        "soft": lambda: logit_term(soft),
        "hard": lambda: LabelTerm(label_smoothing),
    }
    objective = Objective({name: makers[name]() for name in weights}, weights)

    def terms(student, teacher, labels, T):
        return objective(Outputs(student), Outputs(teacher), labels, StepContext(T))

    return terms, objective.total


@pytest.fixture
def logits():
    return PEER_STUDENT.clone().requires_grad_(), PEER_TEACHER, PEER_LABELS


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
    terms, total_of = mixture({"hard": 1.0})
    total = total_of(terms(student, None, labels, 4.0))
    expected = F.cross_entropy(student, labels)
    assert total.item() == expected.item()
    assert torch.equal(*(torch.autograd.grad(x, student)[0] for x in (total, expected)))


def test_a_term_without_weight_is_not_computed(logits):
    student, teacher, labels = logits
    terms, _ = mixture({"soft": 1.0})
    assert list(terms(student, teacher, labels, 1.0)) == ["soft"]


@pytest.mark.parametrize("soft", SOFT_TERMS)
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


def test_decoupled_distillation_warms_up_linearly(logits):
    student, teacher, labels = logits
    objective = Objective({"dkd": logit_term("dkd", warmup_epochs=4)}, {"dkd": 1.0})
    values = [
        objective(Outputs(student), Outputs(teacher), labels, StepContext(4.0, epoch))["dkd"].item()
        for epoch in range(6)
    ]
    assert [value / values[-1] for value in values] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_standardised_logits_ignore_scale_and_shift_of_either_side(logits):
    student, teacher, labels = logits
    term = logit_term("kl", standardize=True)
    plain = term(Outputs(student), Outputs(teacher), labels, StepContext(2.0))
    moved = term(Outputs(3 * student + 1), Outputs(0.5 * teacher - 2), labels, StepContext(2.0))
    assert plain.item() == pytest.approx(moved.item(), rel=1e-5)


@pytest.mark.parametrize("soft", SOFT_TERMS)
def test_an_ensemble_of_one_teacher_twice_is_that_teacher(logits, soft):
    student, teacher, labels = logits
    term = logit_term(soft)
    alone = term(Outputs(student), Outputs(teacher), labels, StepContext(4.0))
    both = term(
        Outputs(student), Outputs(teacher, ensemble=(teacher, teacher)), labels, StepContext(4.0)
    )
    assert alone.item() == pytest.approx(both.item(), rel=1e-9)


def test_an_ensembles_probabilities_are_averaged_at_the_temperature(logits):
    student, teacher, labels = logits
    other = teacher.flip(1)
    term = logit_term("kl", teacher_weights=[3.0, 1.0])
    value = term(
        Outputs(student), Outputs(teacher, ensemble=(teacher, other)), labels, StepContext(4.0)
    )
    p = 0.75 * (teacher / 4).softmax(1) + 0.25 * (other / 4).softmax(1)
    q = (student / 4).log_softmax(1)
    expected = 16 * (p * (p.log() - q)).sum(1).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)


def test_a_term_with_a_temperature_of_its_own_leaves_the_scheduled_one(logits):
    student, teacher, labels = logits
    own, scheduled = (
        logit_term("kl", T=T)(Outputs(student), Outputs(teacher), labels, StepContext(now))
        for T, now in ((2.0, 4.0), (None, 2.0))
    )
    assert own.item() == scheduled.item()


def test_without_a_warm_up_a_term_is_at_full_strength_at_once():
    assert logit_term("dkd", warmup_epochs=0).strength(0) == 1
