import math

import pytest
import torch

from kdrun.analysis import (
    Confusion,
    class_similarity,
    class_similarity_information,
    dark_knowledge,
    similarity_rows,
    top_confusions,
)
from kdrun.analysis.class_similarity import MOST_CLASSES
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


def test_rows_of_classes_with_samples_are_those_of_the_whole_table():
    rows, targets = probs(5, 40, 6), torch.tensor([4, 1, 4, 0] * 10)
    whole, found = class_similarity(rows, targets), similarity_rows(rows, targets)
    assert found.classes.tolist() == [0, 1, 4]
    assert torch.equal(found.means, whole[found.classes])
    assert torch.equal(found.information(), class_similarity_information(whole)[found.classes])
    assert found.confusions() == top_confusions(whole)
    shown = [1, 2, 4, 5]
    assert torch.equal(found.table(shown), whole[shown][:, shown])


@pytest.mark.parametrize("count", [0, 1, 4, 7, 100])
def test_of_equal_confusions_the_first_ones_are_named(count):
    similarity = torch.tensor([[9.0, 0.1, 0.3], [0.1, 9.0, 0.1], [0.3, 0.0, 9.0]]).double()
    cells = [(r, c) for r in range(3) for c in range(3) if r != c and similarity[r, c] > 0]
    expected = sorted(cells, key=lambda cell: -similarity[cell])[:count]
    assert [(one.label, one.other) for one in top_confusions(similarity, count)] == expected


@pytest.mark.filterwarnings("ignore:fewer than 20", "ignore:one sample")
def test_more_classes_than_memory_for_a_table_have_rows_but_no_table():
    # A (K, K) table would take 80 GB.
    classes = 100_000
    rows = torch.full((3, classes), 0.4 / (classes - 2), dtype=torch.float64)
    rows[:, 7], rows[:, 9] = 0.4, 0.2
    targets = torch.tensor([7, 7, 9])
    result = dark_knowledge(rows, targets)
    assert [(one.label, one.other) for one in result.confusions[:2]] == [(9, 7), (7, 9)]
    others = [0.4 / 0.8, *[0.4 / (classes - 2) / 0.8] * (classes - 2)]
    own = math.log(classes - 1) + math.fsum(p * math.log(p) for p in others)
    others = [0.2 / 0.6, *[0.4 / (classes - 2) / 0.6] * (classes - 2)]
    other = math.log(classes - 1) + math.fsum(p * math.log(p) for p in others)
    assert result.similarity == pytest.approx((2 * other + own) / 3)
    with pytest.raises(ValueError, match=rf"80\.0 GB, allowed are {MOST_CLASSES} classes"):
        class_similarity(rows, targets)
