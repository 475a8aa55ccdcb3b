import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from kdrun.analysis import brier_score, negative_log_likelihood
from tests.analysis.draws import labels, logits, probs


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_scores_agree_with_scikit_learn(seed):
    rows, targets = probs(seed), labels(seed)
    expected = log_loss(targets.numpy(), rows.numpy(), labels=range(5))
    assert negative_log_likelihood(rows, targets) == pytest.approx(expected)
    binary, either = probs(seed, classes=2), labels(seed, classes=2)
    # scikit-learn's counts one class of two.
    expected = 2 * brier_score_loss(either.numpy(), binary[:, 1].numpy(), pos_label=1)
    assert brier_score(binary, either) == pytest.approx(expected)


def test_likelihood_is_the_training_loss():
    z, targets = logits(3), labels(3)
    expected = F.cross_entropy(z, targets).item()
    assert negative_log_likelihood(z.softmax(1), targets) == pytest.approx(expected)


def test_brier_score_is_the_squared_distance_to_the_one_hot_label():
    rows, targets = probs(4), labels(4)
    expected = (rows - F.one_hot(targets, 5)).square().sum(1).mean().item()
    assert brier_score(rows, targets) == pytest.approx(expected)


def test_scores_of_the_extremes():
    certain = torch.tensor([[1.0, 0.0, 0.0]])
    right, wrong = torch.tensor([0]), torch.tensor([2])
    assert (brier_score(certain, right), brier_score(certain, wrong)) == (0, 2)
    assert negative_log_likelihood(certain, right) == 0
    assert negative_log_likelihood(certain, wrong) == math.inf
    uniform = torch.full((1, 4), 0.25)
    assert negative_log_likelihood(uniform, right) == pytest.approx(math.log(4))
    assert brier_score(uniform, right) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(29, dtype=torch.long),
        torch.zeros(30, 1, dtype=torch.long),
        torch.zeros(30),
        torch.full((30,), 5),
        torch.full((30,), -1),
    ],
)
def test_labels_that_are_no_class_of_each_sample_are_refused(bad):
    with pytest.raises(ValueError, match="labels must be"):
        negative_log_likelihood(probs(5), bad)
    with pytest.raises(ValueError, match="labels must be"):
        brier_score(probs(5), bad)


def test_a_table_of_one_class_or_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"probs must be \(N, K\) of at least 2 classes"):
        brier_score(torch.ones(30, 1), labels(6))
    with pytest.raises(ValueError, match=r"probs must be \(N, K\)"):
        brier_score(probs(6)[None], labels(6))
