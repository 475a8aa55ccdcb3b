import mpmath
import pytest
import torch

from kdrun.losses.learned_temperature import LearnedTemperatureTerm, learned_temperature_loss
from kdrun.losses.term import Outputs, StepContext
from tests.losses.make_term import logit_term
from tests.losses.reference import PEER_LABELS, PEER_STUDENT, PEER_TEACHER


@pytest.fixture
def logits():
    return PEER_STUDENT.clone().requires_grad_(), PEER_TEACHER, PEER_LABELS


def test_a_learned_temperature_has_the_softened_divergences_value(logits):
    student, teacher, labels = logits
    term = LearnedTemperatureTerm(warmup_epochs=0).double()
    assert term.temperature().item() == 11
    value = term(Outputs(student), Outputs(teacher), labels, StepContext(4.0))
    expected = logit_term("kl")(Outputs(student), Outputs(teacher), labels, StepContext(11.0))
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)


def test_a_learned_temperature_climbs_the_loss_that_the_student_descends(logits):
    student, teacher, labels = logits
    term = LearnedTemperatureTerm(warmup_epochs=10).double()

    def loss(epoch):
        return term(Outputs(student), Outputs(teacher), labels, StepContext(4.0, epoch))

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


def exact_gradient(student, teacher, T):
    """d/dT of T^2 KL in 50 digits, from (log p_k)' = (mean of the logits - logit_k) / T^2."""
    with mpmath.workdps(50):
        total = mpmath.mpf(0)
        for row_s, row_t in zip(student.tolist(), teacher.tolist(), strict=True):
            logs, slopes = [], []
            for row in (row_s, row_t):
                largest = max(row)
                powers = [mpmath.exp((mpmath.mpf(z) - largest) / T) for z in row]
                mean = sum(p * z for p, z in zip(powers, row, strict=True)) / sum(powers)
                logs.append([mpmath.log(p / sum(powers)) for p in powers])
                slopes.append([(mean - z) / mpmath.mpf(T) ** 2 for z in row])
            for log_p, log_q, slope_p, slope_q in zip(*logs, *slopes, strict=True):
                q, gap = mpmath.exp(log_q), log_q - log_p
                total += 2 * T * q * gap + T**2 * q * (slope_q * gap + slope_q - slope_p)
        return float(total / len(student))


@pytest.mark.parametrize("deviation", [1e-3, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("T", [1.5, 11.0, 20.5])
@pytest.mark.parametrize("scale", [0.1, 5.0])
def test_the_slope_by_a_learned_temperature_is_exact_where_student_and_teacher_are_near(
    deviation, T, scale
):
    generator = torch.Generator().manual_seed(0)
    teacher = scale * torch.randn(61, 10, generator=generator)
    student = teacher + deviation * torch.randn(61, 10, generator=generator)
    learned = torch.tensor(T, requires_grad=True)
    loss = learned_temperature_loss(student, teacher, learned)
    (slope,) = torch.autograd.grad(loss, learned)
    assert loss.dtype == slope.dtype == torch.float32
    assert slope.item() == pytest.approx(exact_gradient(student, teacher, T), rel=1e-4)
