import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import chain_differences

values = st.lists(st.floats(0, 1e3), min_size=2, max_size=6)


@given(losses=values, seed=st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_steps_add_up_to_the_whole_difference(losses, seed):
    errors = [seed.random() for _ in losses]
    divergences = [seed.random() for _ in losses[1:]]
    chain = chain_differences(losses, errors, divergences)
    sums = [math.fsum(step.loss_difference for step in chain.steps[: n + 1]) for n in range(9)]
    assert chain.loss_difference == pytest.approx(losses[-1] - losses[0], abs=1e-9)
    assert sums[8] == pytest.approx(chain.loss_difference, abs=1e-9)
    assert math.fsum(step.error_difference for step in chain.steps) == pytest.approx(
        errors[-1] - errors[0], abs=1e-9
    )
    for step, total in zip(chain.steps, sums, strict=False):
        assert step.cumulative_loss == pytest.approx(total, abs=1e-9)
    assert chain.steps[-1].cumulative_error == chain.error_difference


def test_each_step_compares_a_model_with_its_teacher():
    chain = chain_differences([0.5, 0.75, 2.0], [0.125, 0.25, 0.125], [0.02, 0.5])
    first, last = chain.steps
    assert (first.loss_difference, last.loss_difference) == (0.25, 1.25)
    assert (first.error_difference, last.error_difference) == (0.125, -0.125)
    assert (first.pinsker, last.pinsker) == pytest.approx((0.1, 0.5))
    assert (chain.loss_difference, chain.error_difference) == (1.5, 0.0)


def test_an_infinite_divergence_bounds_nothing():
    assert chain_differences([0.0, 1.0], [0.0, 0.5], [math.inf]).steps[0].pinsker == math.inf


def test_lists_that_do_not_fit_are_refused():
    for losses, errors, divergences in [
        ([1.0], [0.1], []),
        ([1.0, 2.0], [0.1], [0.3]),
        ([1.0, 2.0], [0.1, 0.2], [0.3, 0.4]),
    ]:
        with pytest.raises(ValueError, match="a chain needs"):
            chain_differences(losses, errors, divergences)
    with pytest.raises(ValueError, match="divergences must be at least 0"):
        chain_differences([1.0, 2.0], [0.1, 0.2], [-0.3])
