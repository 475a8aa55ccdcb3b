"""Paired differences and their standard error."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdrun.report.paired_gain import binomial_error, paired_gain

accuracies = st.floats(0, 1)


@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=8))
def test_the_gain_is_the_mean_difference_with_its_standard_error(pairs):
    ours, theirs = zip(*pairs, strict=True)
    difference = torch.tensor(ours, dtype=torch.float64) - torch.tensor(theirs, dtype=torch.float64)
    gain = paired_gain(ours, theirs, images=10)
    assert gain.mean == pytest.approx(difference.mean().item(), abs=1e-12)
    assert gain.error == pytest.approx(difference.std().item() / len(pairs) ** 0.5, abs=1e-12)
    assert gain.seeds == len(pairs)


def test_pairing_removes_what_the_seeds_share():
    theirs = [0.50, 0.70, 0.90]
    gain = paired_gain([accuracy + 0.01 for accuracy in theirs], theirs)
    assert gain.mean == pytest.approx(0.01)
    assert gain.error == pytest.approx(0.0, abs=1e-12)
    assert gain.exceeds_error


def test_one_seed_has_the_error_of_its_images():
    gain = paired_gain([0.9], [0.8], images=100)
    assert gain.mean == pytest.approx(0.1)
    assert gain.error == pytest.approx(math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 100))
    assert gain.exceeds_error
    assert not paired_gain([0.9], [0.8], images=10).exceeds_error


def test_one_seed_on_an_unknown_number_of_images_has_no_error_and_no_verdict():
    gain = paired_gain([0.9], [0.5])
    assert (gain.error, gain.exceeds_error) == (None, False)


def test_the_binomial_error_is_that_of_drawn_images():
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(4000, 2, 50, generator=generator)
    measured = (draws < torch.tensor([[0.9], [0.8]])).double().mean(dim=2)
    spread = (measured[:, 0] - measured[:, 1]).std().item()
    assert binomial_error(0.9, 0.8, 50) == pytest.approx(spread, rel=0.04)


@given(accuracies, accuracies, st.integers(1, 10**6))
def test_a_loss_never_exceeds_its_error(ours, theirs, images):
    low, high = sorted([ours, theirs])
    assert not paired_gain([low], [high], images).exceeds_error


def test_a_comparison_without_pairs_is_refused():
    for ours, theirs in [([], []), ([0.1], []), ([0.1], [0.1, 0.2])]:
        with pytest.raises(ValueError, match="of at least one seed, got"):
            paired_gain(ours, theirs)


@pytest.mark.parametrize("wrong", [(1.1, 0.5, 10), (0.5, -0.1, 10), (math.nan, 0.5, 10), (1, 1, 0)])
def test_a_binomial_error_needs_shares_of_images(wrong):
    with pytest.raises(ValueError, match=r"accuracies in \[0, 1\] and images >= 1"):
        binomial_error(*wrong)
