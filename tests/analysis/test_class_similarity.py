import math

import pytest
import torch

from kdrun.analysis import (
    Confusion,
    class_similarity,
    class_similarity_information,
    dark_knowledge,
    top_confusions,
)
from tests.analysis.draws import labels, probs


def test_similarity_is_the_mean_probability_of_each_true_class():
    rows, targets = probs(1, 50, 4), labels(1, 50, 4)
    similarity = class_similarity(rows, targets)
    for label in range(4):
        torch.testing.assert_close(similarity[label], rows[targets == label].mean(0))


def test_a_class_without_samples_has_an_empty_row():
    rows = probs(2, 4, 3)
    similarity = class_similarity(rows, torch.tensor([2, 2, 0, 2]))
    torch.testing.assert_close(similarity[0], rows[2])
    assert similarity.sum(1).tolist() == pytest.approx([1, 0, 1])


def test_information_spans_from_alike_to_one_other_class():
    similarity = torch.tensor(
        [
            [0.7, 0.1, 0.1, 0.1],
            [0.3, 0.7, 0.0, 0.0],
            [0.1, 0.0, 0.8, 0.1],
            [0.0, 0.0, 0.0, 1.0],
        ],
        dtype=torch.float64,
    )
    expected = [0, math.log(3), math.log(3) - math.log(2), 0]
    assert class_similarity_information(similarity).tolist() == pytest.approx(expected, abs=1e-12)


def test_two_classes_hold_no_similarity():
    assert dark_knowledge(probs(3, 50, 2), torch.arange(50) % 2).similarity == 0


def test_dark_knowledge_weighs_the_similarity_by_the_samples():
    rows, targets = probs(4, 90, 3), torch.tensor([0] * 60 + [1] * 30)
    information = class_similarity_information(class_similarity(rows, targets))
    result = dark_knowledge(rows, targets)
    assert result.similarity == pytest.approx((2 * information[0] + information[1]).item() / 3)
    assert result.confusions == top_confusions(class_similarity(rows, targets))


def test_confusions_are_the_largest_entries_beside_the_diagonal():
    similarity = torch.tensor([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.4, 0.0, 0.6]])
    assert top_confusions(similarity.double(), 2) == (
        Confusion(2, 0, pytest.approx(0.4)),
        Confusion(0, 1, pytest.approx(0.3)),
    )
    assert [(pair.label, pair.other) for pair in top_confusions(similarity)] == [
        (2, 0),
        (0, 1),
        (0, 2),
    ]
