"""Measures of a single model."""

import math

import pytest
import torch

from kdrun.analysis import class_similarity, class_similarity_information
from kdrun.evaluation.model_measures import similarity_measures
from tests.analysis.draws import labels, probs


def test_the_most_confused_classes_are_shown_with_their_part_of_the_whole_table():
    classes = 30
    rows, targets = probs(1, 200, classes), labels(1, 200, classes) % 25
    found = similarity_measures(rows, targets, 4.0, [str(n) for n in range(classes)])
    whole = class_similarity(rows, targets)
    mass = whole.sum(0) + whole.sum(1) - 2 * whole.diagonal()
    shown = sorted(mass.argsort(descending=True)[:20].tolist())
    assert found["classes"] == [str(place) for place in shown]
    torch.testing.assert_close(
        torch.tensor(found["probability"], dtype=torch.float64), whole[shown][:, shown]
    )
    information = class_similarity_information(whole)[shown].tolist()
    assert found["information"] == pytest.approx(information)
    assert (found["of"], found["most_information"]) == (classes, pytest.approx(math.log(29)))


def test_classes_too_many_for_a_whole_table_are_measured():
    classes = 100_000
    rows = torch.full((2, classes), 0.5 / (classes - 1), dtype=torch.float64)
    rows[:, 70_000] = 0.5
    names = [f"c{n}" for n in range(classes)]
    found = similarity_measures(rows, torch.tensor([3, 70_000]), 1.0, names)
    assert {"c3", "c70000"} <= set(found["classes"])
    assert len(found["classes"]) == 20
    row, column = (found["classes"].index(name) for name in ("c3", "c70000"))
    assert found["probability"][row][column] == pytest.approx(0.5)
