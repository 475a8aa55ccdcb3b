import math

import pytest
import torch

from kdrun.losses import ensemble_probabilities, soft_probability_loss, soft_target_loss
from tests.losses.reference import pair, rows


@pytest.mark.parametrize("T", [0.7, 4.0, 60.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_of_one_teachers_probabilities_is_the_loss_of_its_logits(T, dtype):
    student, teacher = pair(16, dtype=dtype)
    probs = ensemble_probabilities([teacher], T)
    torch.testing.assert_close(
        soft_probability_loss(student, probs, T),
        soft_target_loss(student, teacher, T),
        rtol=1e-4,
        atol=1e-6,
    )


def test_probabilities_at_infinite_temperature_are_refused_as_they_carry_nothing():
    student, _ = pair(17)
    with pytest.raises(ValueError, match="T must be in"):
        soft_probability_loss(student, torch.full_like(student, 1 / 7), math.inf)


def test_ensemble_averages_probabilities_by_weight():
    first, second = pair(18)
    expected = [
        [0.25 * a + 0.75 * b for a, b in zip(p, q, strict=True)]
        for p, q in zip(rows(first, 3.0), rows(second, 3.0), strict=True)
    ]
    probs = ensemble_probabilities([first, second], 3.0, weights=[1, 3])
    torch.testing.assert_close(probs, torch.tensor(expected, dtype=torch.float64))
    equal = ensemble_probabilities([first, second], 3.0)
    torch.testing.assert_close(equal, ensemble_probabilities([second, first], 3.0, [5, 5]))


@pytest.mark.parametrize(
    ("teachers", "weights"), [(0, None), (2, [1.0]), (2, [1.0, -1.0]), (2, [0, 0]), (1, [math.nan])]
)
def test_ensemble_refuses_weights_that_are_no_shares(teachers, weights):
    with pytest.raises(ValueError, match="weights"):
        ensemble_probabilities([torch.zeros(2, 3)] * teachers, 1.0, weights)


def test_ensemble_refuses_teachers_of_different_class_counts():
    with pytest.raises(ValueError, match="differ in shape"):
        ensemble_probabilities([torch.zeros(2, 3), torch.zeros(2, 1)], 1.0)
