import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import agreement, mean_kl
from kdrun.losses import soft_target_loss
from tests.analysis.draws import logits, probs


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 30))
@settings(max_examples=25, deadline=None)
def test_mean_divergence_is_the_training_loss_at_temperature_one(seed, scale):
    student, teacher = logits(seed, scale=scale), logits(seed + 1, scale=scale)
    measured = mean_kl(student.softmax(1), teacher.softmax(1))
    assert measured == pytest.approx(soft_target_loss(student, teacher, 1.0).item(), rel=1e-9)


def test_divergence_goes_from_teacher_to_student():
    student, teacher = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert mean_kl(student, teacher) == pytest.approx(math.log(2))
    assert mean_kl(teacher, student) == math.inf


def test_agreement_is_the_share_of_equal_decisions():
    student = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    teacher = torch.tensor([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.1, 0.9]])
    assert agreement(student, teacher) == 0.75
    assert agreement(teacher, teacher) == 1
    assert agreement(teacher, teacher.flip(1)) == 0


def test_half_precision_probabilities_are_measured_too():
    student, teacher = probs(1), probs(2)
    rough = mean_kl(student.bfloat16(), teacher.bfloat16())
    assert rough == pytest.approx(mean_kl(student, teacher), rel=0.02)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        agreement(probs(3), probs(3)[:-1])
    with pytest.raises(ValueError, match="student_probs must be probabilities"):
        agreement(logits(3), probs(3))
    with pytest.raises(ValueError, match="teacher_probs must be probabilities"):
        mean_kl(probs(3), logits(3))
