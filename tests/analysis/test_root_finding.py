import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis.root_finding import increasing_root


@given(root=st.floats(-30, 30), steepness=st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_root_is_found_where_newton_alone_would_leave_the_bracket(root, steepness):
    bracket = [-40.0, 40.0]

    def saturating(x):
        assert bracket[0] <= x <= bracket[1]
        bracket[0 if x < root else 1] = x
        value = math.tanh(steepness * (x - root))
        return value, steepness * (1 - value**2)

    assert increasing_root(saturating, -40, 40) == pytest.approx(root, abs=1e-9)


@given(root=st.floats(-3, 3))
@settings(max_examples=20, deadline=None)
def test_root_is_found_where_the_slope_vanishes(root):
    found = increasing_root(lambda x: ((x - root) ** 3, 3 * (x - root) ** 2), -4, 4)
    assert found == pytest.approx(root, abs=1e-9)


def test_root_is_found_where_newton_would_creep():
    found = increasing_root(lambda x: (math.expm1(50 * x), 50 * math.exp(50 * x)), -3, 13)
    assert found == pytest.approx(0, abs=1e-12)


def test_nothing_outside_the_bracket_is_tried():
    tried = []

    def stepped(x):
        tried.append(x)
        if x < -0.95:
            return -1.0, 1.0
        # From 0 Newton steps close to the end of the bracket, and from there past it.
        return (1.0, 1.1) if x > -0.5 else (0.1, 0.25)

    assert increasing_root(stepped, -1, 1) == pytest.approx(-0.95, abs=1e-12)
    assert -1 <= min(tried) <= max(tried) <= 1


def test_few_steps_are_enough():
    calls = []

    def function(x):
        calls.append(x)
        return math.exp(x) - 5, math.exp(x)

    assert increasing_root(function, -30, 30) == pytest.approx(math.log(5), abs=1e-14)
    assert len(calls) < 20
