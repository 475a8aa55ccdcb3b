import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import ensemble_gradient_probe, gradient_probe
from kdrun.losses import ensemble_probabilities, soft_probability_loss, soft_target_loss
from tests.analysis.draws import labels, logits


def gradient(loss, z):
    z = z.clone().requires_grad_()
    loss(z).backward()
    return z.grad


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 100) | st.just(math.inf))
@settings(max_examples=30, deadline=None)
def test_probe_measures_what_autograd_gives(seed, T):
    student, teacher, targets = logits(seed), logits(seed + 1), labels(seed)
    soft = gradient(lambda z: 30 * soft_target_loss(z, teacher, T), student)
    hard = gradient(lambda z: F.cross_entropy(z, targets, reduction="sum"), student)
    cosines = F.cosine_similarity(soft, hard, dim=1)
    probe = gradient_probe(student, teacher, targets, [T])
    assert probe.soft_norm == pytest.approx([soft.norm(dim=1).mean().item()], rel=1e-6)
    assert probe.hard_norm == pytest.approx(hard.norm(dim=1).mean().item())
    assert probe.ratio == pytest.approx([probe.soft_norm[0] / probe.hard_norm])
    assert probe.cosine == pytest.approx([cosines.mean().item()], abs=1e-6)
    assert probe.negative_share == pytest.approx([(cosines < 0).double().mean().item()])


@given(seed=st.integers(0, 1000), T=st.floats(0.5, 100))
@settings(max_examples=20, deadline=None)
def test_the_probe_of_an_ensemble_is_that_of_its_averaged_probabilities(seed, T):
    student, teachers, targets = logits(seed), [logits(seed + 1), logits(seed + 2)], labels(seed)
    probs = ensemble_probabilities(teachers, T, [1, 3])
    soft = gradient(lambda z: 30 * soft_probability_loss(z, probs, T), student)
    probe = ensemble_gradient_probe(student, teachers, targets, [T], [1, 3])
    assert probe.soft_norm == pytest.approx([soft.norm(dim=1).mean().item()], rel=1e-6)


def test_the_probe_of_an_ensemble_tends_to_its_limit():
    probe = ensemble_gradient_probe(
        logits(1), [logits(2), logits(3)], labels(1), [1000, math.inf], [1, 3]
    )
    assert probe.soft_norm[0] == pytest.approx(probe.soft_norm[1], rel=0.02)
    assert probe.cosine[0] == pytest.approx(probe.cosine[1], abs=0.02)


def test_the_soft_norm_settles_while_the_unscaled_one_decays():
    probe = gradient_probe(logits(1), logits(2), labels(1), [10, 100, 1000, math.inf])
    assert probe.soft_norm[2] == pytest.approx(probe.soft_norm[3], rel=0.02)
    assert probe.unscaled_norm[1] / probe.unscaled_norm[2] == pytest.approx(100, rel=0.05)
    assert probe.unscaled_norm[3] == 0


def test_a_certain_teacher_pulls_as_the_label_does():
    student, targets = logits(3), labels(3)
    probe = gradient_probe(student, 200.0 * F.one_hot(targets, 5), targets, [1.0])
    assert probe.cosine == pytest.approx([1.0])
    assert probe.ratio == pytest.approx([1.0])
    assert probe.negative_share == (0.0,)


def test_a_student_that_equals_its_teacher_feels_no_soft_pull():
    probe = gradient_probe(logits(4), logits(4), labels(4), [1.0, 4.0])
    assert probe.soft_norm == probe.ratio == probe.cosine == probe.negative_share == (0.0, 0.0)


def test_the_pull_of_the_label_on_a_confident_student_keeps_its_direction():
    student = torch.tensor([[60.0, 0.0, 3.0]], dtype=torch.float64)
    probe = gradient_probe(student, student.flip(1), torch.tensor([0]), [1.0])
    tail = math.exp(-60), math.exp(-57)
    assert probe.hard_norm == pytest.approx(math.hypot(sum(tail), *tail))
    # The soft gradient is (1, 0, -1) but for 1e-25.
    expected = (-sum(tail) - tail[1]) / (math.sqrt(2) * probe.hard_norm)
    assert probe.cosine == pytest.approx([expected])


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        gradient_probe(logits(5), logits(5)[:, :4], labels(5), [1.0])
    with pytest.raises(ValueError, match="labels must be"):
        gradient_probe(logits(5), logits(5), labels(5)[:3], [1.0])
    with pytest.raises(ValueError, match="teacher_logits must be finite"):
        gradient_probe(logits(5), logits(5) / 0, labels(5), [1.0])
