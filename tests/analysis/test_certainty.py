import math

import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from kdrun.analysis.certainty import certainty, doubts, share_at


def test_entropy_and_calibration_are_those_of_scipy():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(500, 7, generator=generator)
    labels = torch.distributions.Categorical(logits=4 * logits).sample()
    found = certainty(logits, labels)
    table = logits.double().numpy()

    def loss(T):
        return -log_softmax(table / T, axis=1)[range(500), labels.numpy()].mean()

    best = minimize_scalar(loss, bounds=(0.01, 10), method="bounded")
    assert found["calibration_T"] == pytest.approx(best.x, abs=2e-3)
    assert found["nll"] == pytest.approx(loss(1.0), abs=1e-4)
    assert found["calibrated_nll"] == pytest.approx(best.fun, abs=1e-4)
    for T, share in found["entropy"].items():
        exact = entropy(softmax(table / float(T), axis=1), axis=1).mean() / math.log(7)
        assert share == pytest.approx(exact, abs=1e-4)


def test_a_share_between_two_temperatures_lies_between_theirs():
    measures = {"entropy": {"1": 0.2, "4": 0.6, "16": 1.0}}
    assert share_at(measures, 0.5) == 0.2
    assert share_at(measures, 2.0) == pytest.approx(0.4)
    assert share_at(measures, 8.0) == pytest.approx(0.8)
    assert share_at(measures, math.inf) == 1.0


def test_a_teacher_that_is_right_on_every_image_is_not_doubted():
    labels = torch.arange(50) % 5
    found = certainty(4 * torch.eye(5)[labels], labels)
    assert found["calibration_T"] == 0
    assert list(doubts(found)) == []


def test_a_uniform_teacher_is_doubted_though_its_largest_output_is_right():
    labels = torch.arange(50) % 5
    (told,) = doubts(certainty(0.1 * torch.eye(5)[labels], labels))
    assert "nearly uniform" in told
