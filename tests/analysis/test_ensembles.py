import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis.ensembles import arithmetic_ensemble, geometric_ensemble, logit_ensemble

seeds = st.integers(0, 2**32)


def random_logits(seed, members=3, samples=4, classes=5):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(members, samples, classes, generator=generator, dtype=torch.float64)


def kl(p, q):
    return (p * (p / q).log()).sum(-1).mean()


def test_the_ensembles_of_two_coins():
    coins = [torch.tensor([[0.8, 0.2]]), torch.tensor([[0.2, 0.8]])]
    for ensemble in (arithmetic_ensemble, geometric_ensemble):
        torch.testing.assert_close(
            ensemble(coins), torch.tensor([[0.5, 0.5]], dtype=torch.float64), atol=1e-7, rtol=0
        )
    skewed = [torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])]
    torch.testing.assert_close(
        arithmetic_ensemble(skewed), torch.tensor([[0.7, 0.3]]).double(), atol=1e-7, rtol=0
    )
    # sqrt(0.45) to sqrt(0.05) is 3 to 1.
    torch.testing.assert_close(
        geometric_ensemble(skewed), torch.tensor([[0.75, 0.25]]).double(), atol=1e-7, rtol=0
    )


@given(seeds)
@settings(deadline=None)
def test_the_geometric_ensemble_is_the_softmax_of_the_mean_logits(seed):
    logits = random_logits(seed)
    ensemble = geometric_ensemble(list(logits.softmax(-1)))
    torch.testing.assert_close(ensemble, logits.mean(0).softmax(-1))


@given(seeds, seeds)
@settings(deadline=None)
def test_each_ensemble_is_nearest_to_its_members_in_its_own_divergence(seed, other):
    members = list(random_logits(seed).softmax(-1))
    rival = random_logits(other, members=1)[0].softmax(-1)
    mean, geometric = arithmetic_ensemble(members), geometric_ensemble(members)
    for candidate in (rival, geometric):
        assert sum(kl(p, mean) for p in members) <= sum(kl(p, candidate) for p in members) + 1e-12
    for candidate in (rival, mean):
        nearest = sum(kl(geometric, p) for p in members)
        assert nearest <= sum(kl(candidate, p) for p in members) + 1e-12


@given(seeds)
@settings(deadline=None)
def test_an_ensemble_of_one_model_is_that_model_in_any_number(seed):
    probs = random_logits(seed, members=1)[0].softmax(-1)
    for ensemble in (arithmetic_ensemble, geometric_ensemble):
        for members in (1, 3):
            torch.testing.assert_close(ensemble([probs] * members), probs)


def test_logits_whose_probabilities_exclude_each_other_have_an_ensemble_too():
    logits = [torch.tensor([[900.0, -900.0, 0.0]]), torch.tensor([[-900.0, 901.0, 0.0]])]
    expected = torch.tensor([[0.0, 0.5, 0.0]]).double().softmax(dim=1)
    torch.testing.assert_close(logit_ensemble(logits), expected)


def test_a_class_that_one_member_rules_out_is_ruled_out_of_the_geometric_mean():
    members = [torch.tensor([[0.0, 0.5, 0.5]]), torch.tensor([[0.8, 0.1, 0.1]])]
    expected = torch.tensor([[0.0, 0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(geometric_ensemble(members), expected)


def test_members_that_rule_out_every_class_together_are_refused():
    members = [torch.eye(2), torch.tensor([[0.0, 1.0], [0.5, 0.5]])]
    with pytest.raises(ValueError, match="rule out every class of 1 of 2 samples"):
        geometric_ensemble(members)


@pytest.mark.parametrize("ensemble", [arithmetic_ensemble, geometric_ensemble])
def test_an_ensemble_refuses_what_cannot_be_averaged(ensemble):
    half = torch.full((3, 2), 0.5)
    with pytest.raises(ValueError, match="at least one member"):
        ensemble([])
    with pytest.raises(ValueError, match=r"differ in shape: \[\(3, 2\), \(1, 2\)\]"):
        ensemble([half, half[:1]])
    with pytest.raises(ValueError, match="probs_list must be probabilities"):
        ensemble([half, torch.full((3, 2), math.nan)])
