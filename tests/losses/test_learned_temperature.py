import pytest
import torch

from kdrun.losses.learned_temperature import LearnedTemperatureTerm
from kdrun.losses.logit_term import SoftTerm
from kdrun.losses.term import Moment, Outputs
from tests.losses.reference import PEER_LABELS, PEER_STUDENT, PEER_TEACHER


@pytest.fixture
def logits():
    return PEER_STUDENT.clone().requires_grad_(), PEER_TEACHER, PEER_LABELS


def test_a_learned_temperature_has_the_softened_divergences_value(logits):
    student, teacher, labels = logits
    term = LearnedTemperatureTerm(warmup_epochs=0).double()
    assert term.temperature().item() == 11
    value = term(Outputs(student), Outputs(teacher), labels, Moment(4.0))
    expected = SoftTerm("kl")(Outputs(student), Outputs(teacher), labels, Moment(11.0))
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)


def test_a_learned_temperature_climbs_the_loss_that_the_student_descends(logits):
    student, teacher, labels = logits
    term = LearnedTemperatureTerm(warmup_epochs=10).double()

    def loss(epoch):
        return term(Outputs(student), Outputs(teacher), labels, Moment(4.0, epoch))

    (reversed_gradient,) = torch.autograd.grad(loss(10), term.tau)
    (none_yet,) = torch.autograd.grad(loss(0), term.tau)
    (half,) = torch.autograd.grad(loss(5), term.tau)
    with torch.no_grad():
        term.tau += 1e-6
        above = loss(10).item()
        term.tau -= 2e-6
        slope = (above - loss(10).item()) / 2e-6
    assert reversed_gradient.item() == pytest.approx(-slope, rel=1e-4)
    assert none_yet.item() == 0
    assert half.item() == pytest.approx(reversed_gradient.item() / 2)
