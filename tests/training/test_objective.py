"""The objective as a whole: gradient shares and fitted terms."""

import pytest
import torch
from torch import nn

from kdrun.losses.label import LabelTerm
from kdrun.losses.term import Outputs, StepContext
from kdrun.training.objective import Objective, gradient_shares
from tests.losses.make_term import logit_term


def shares(weights):
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    objective = Objective({"kl": logit_term("kl"), "cross_entropy": LabelTerm()}, weights)
    logits = model(torch.randn(8, 5))
    terms = objective(
        Outputs(logits), Outputs(torch.randn(8, 3)), torch.arange(8) % 3, StepContext(4.0)
    )
    parameters = list(model.parameters())
    found = gradient_shares(objective, terms, parameters)
    norms = {
        name: torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(weights[name] * value, parameters, retain_graph=True)
            ]
        ).norm()
        for name, value in terms.items()
    }
    total = sum(norms.values())
    return found, {name: (norm / total).item() for name, norm in norms.items()}


def test_gradient_shares_are_the_terms_parts_of_the_gradient_norms():
    found, expected = shares({"kl": 0.9, "cross_entropy": 0.1})
    assert found == pytest.approx(expected, rel=1e-5)
    assert sum(found.values()) == pytest.approx(1)


def test_a_heavier_term_has_a_larger_share():
    light, _ = shares({"kl": 0.1, "cross_entropy": 1.0})
    heavy, _ = shares({"kl": 10.0, "cross_entropy": 1.0})
    assert heavy["kl"] > light["kl"]


@pytest.mark.parametrize("weight", [1e38, float("inf")])
def test_gradients_that_overflow_have_no_shares(weight):
    found, _ = shares({"kl": 1.0, "cross_entropy": weight})
    assert found == {"kl": None, "cross_entropy": None}


def test_gradient_shares_leave_no_gradient_behind():
    model = nn.Linear(5, 3)
    objective = Objective({"cross_entropy": LabelTerm()}, {"cross_entropy": 1.0})
    terms = objective(
        Outputs(model(torch.randn(4, 5))), None, torch.zeros(4).long(), StepContext(1.0)
    )
    gradient_shares(objective, terms, list(model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())
