"""Generations: when to stop, and what their ensembles are."""

import math

import pytest
import torch

from kdrun.runs.born_again import binomial_error, is_monotone, stop_early


@pytest.mark.parametrize(
    ("accuracies", "stops"),
    [
        ([[0.70, 0.72]], False),
        ([[0.70, 0.72], [0.74, 0.75]], False),
        ([[0.70, 0.72], [0.74, 0.75], [0.73, 0.77]], True),
        ([[0.70, 0.72], [0.65, 0.66]], True),
        # Past gains do not count, nor do past losses.
        ([[0.70, 0.72], [0.65, 0.66], [0.74, 0.75]], False),
    ],
)
def test_generations_end_when_the_newest_rose_by_no_more_than_its_error(accuracies, stops):
    assert stop_early(accuracies, images=100) is stops


def test_one_seed_is_judged_by_the_number_of_its_images():
    # The standard error is 0.0602 on 100 images, 0.0060 on 10 000.
    accuracies = [[0.75], [0.77]]
    assert stop_early(accuracies, images=100)
    assert not stop_early(accuracies, images=10_000)


def test_equal_generations_end_them_even_without_any_spread():
    assert stop_early([[0.8, 0.9], [0.8, 0.9]], images=100)
    assert stop_early([[1.0], [1.0]], images=100)


@pytest.mark.parametrize(
    ("accuracies", "monotone"),
    [([], True), ([0.7], True), ([0.7, 0.7, 0.8], True), ([0.7, 0.8, 0.79, 0.9], False)],
)
def test_monotone_means_that_no_generation_is_worse_than_the_last(accuracies, monotone):
    assert is_monotone(accuracies) is monotone


def test_the_binomial_error_is_that_of_drawn_images():
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(4000, 2, 50, generator=generator)
    measured = (draws < torch.tensor([[0.9], [0.8]])).double().mean(dim=2)
    spread = (measured[:, 0] - measured[:, 1]).std().item()
    assert binomial_error(0.9, 0.8, 50) == pytest.approx(spread, rel=0.04)


@pytest.mark.parametrize("wrong", [(1.1, 0.5, 10), (0.5, -0.1, 10), (math.nan, 0.5, 10), (1, 1, 0)])
def test_a_binomial_error_needs_shares_of_images(wrong):
    with pytest.raises(ValueError, match=r"accuracies in \[0, 1\] and images >= 1"):
        binomial_error(*wrong)
