"""T chosen from the teacher: the bands of its uncertainty, the formula, the dark knowledge."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdrun.analysis import entropy
from kdrun.analysis.temperature_guideline import (
    auto_temperature,
    entropy_of_counts,
    formula_temperature,
    interior_maximum,
    memorised_noise,
    normalised_entropy,
    optimal_temperature,
)
from kdrun.losses.temperature import softmax_with_temperature

shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("u", "noisy", "expected"),
    [
        (0.0, False, 2.0),
        (0.025, False, 2 * math.sqrt(2)),
        (0.1, False, 4.0),
        # Halfway between sqrt(0.1) and 1.
        (((math.sqrt(0.1) + 1) / 2) ** 2, False, 4 * math.sqrt(2)),
        (1.0, False, 8.0),
        (0.0, True, 8.0),
        (0.25, True, 8 * math.sqrt(2.5)),
        (1.0, True, 20.0),
    ],
)
def test_auto_temperature_visits_the_values_of_its_bands(u, noisy, expected):
    assert auto_temperature(u, noisy=noisy) == pytest.approx(expected, rel=1e-12)


@given(shares)
def test_auto_temperature_stays_in_the_band_of_the_teacher(u):
    low, high = (2, 4) if u <= 0.1 else (4, 8)
    assert low <= auto_temperature(u) <= high
    assert 8 <= auto_temperature(u, noisy=True) <= 20


@given(shares, shares, st.booleans())
def test_auto_temperature_grows_with_the_uncertainty(u, other, noisy):
    low, high = sorted([u, other])
    # Rounding moves the last digit of a power.
    assert auto_temperature(low, noisy) <= auto_temperature(high, noisy) * (1 + 1e-15)


def test_auto_temperature_is_continuous_where_the_bands_meet():
    at, above = auto_temperature(0.1), auto_temperature(math.nextafter(0.1, 1))
    assert above == pytest.approx(at, rel=1e-14)


def test_no_warning_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto_temperature(0.3)
        auto_temperature(0.3, noisy=True)
        # Without noise there is none to learn.
        assert auto_temperature(0.3, memorised=True) == auto_temperature(0.3)


@given(shares)
def test_a_teacher_that_memorised_the_noise_gets_T_2_and_a_warning(u):
    with pytest.warns(UserWarning, match="memorised the label noise: T=2 instead of"):
        assert auto_temperature(u, noisy=True, memorised=True) == 2.0


@given(shares, st.booleans())
def test_a_label_smoothed_teacher_gets_at_most_T_2_and_a_warning(u, noisy):
    with pytest.warns(UserWarning, match="label smoothing, which erases .* T is at most 2"):
        assert auto_temperature(u, noisy, label_smoothed=True) <= 2.0


def test_every_reason_is_named():
    with pytest.warns(UserWarning, match="the teacher") as record:
        assert auto_temperature(0.5, noisy=True, memorised=True, label_smoothed=True) == 2.0
    assert ["memorised" in str(w.message) for w in record] == [True, False]


@pytest.mark.parametrize("u", [-1e-9, 1.0001, math.nan, math.inf])
def test_an_uncertainty_outside_0_to_1_is_refused(u):
    with pytest.raises(ValueError, match=r"share of log K, is in \[0, 1\], got"):
        auto_temperature(u)


@given(st.floats(0, 10), st.floats(1e-3, 10))
def test_the_formula_is_the_root_of_the_quotient(teacher_entropy, label_entropy):
    T = optimal_temperature(teacher_entropy, label_entropy)
    assert T * T * label_entropy == pytest.approx(teacher_entropy)
    assert formula_temperature(teacher_entropy, label_entropy) == sorted([1.0, T, 20.0])[1]


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6), st.floats(0.1, 10))
def test_the_formula_never_exceeds_1_for_balanced_labels(row, T):
    probs = softmax_with_temperature(torch.tensor([row], dtype=torch.float64), T)
    labels = entropy_of_counts([7] * len(row))
    assert optimal_temperature(entropy(probs).mean().item(), labels) <= 1 + 1e-12


def test_the_formula_is_refused_where_labels_have_no_entropy():
    for function in (optimal_temperature, formula_temperature):
        with pytest.raises(ValueError, match=r"diverges at label_entropy=0: one-hot labels"):
            function(0.5, 0.0)


@pytest.mark.parametrize("wrong", [(-0.1, 1.0), (0.1, -1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_the_formula_refuses_what_is_no_entropy(wrong):
    with pytest.raises(ValueError, match="entropies must be finite and at least 0, got"):
        optimal_temperature(*wrong)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any))
def test_entropy_of_counts_is_that_of_their_shares(counts):
    probs = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    assert entropy_of_counts(counts) == pytest.approx(entropy(probs).item(), abs=1e-12)


@pytest.mark.parametrize("counts", [[], [0, 0], [3, -1], [math.nan, 1], [math.inf, 1]])
def test_counts_without_frequencies_are_refused(counts):
    with pytest.raises(ValueError, match="counts of labels must be"):
        entropy_of_counts(counts)


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_normalised_entropy_goes_from_certain_to_uniform(classes):
    uniform = entropy(torch.full((classes,), 1 / classes)).item()
    assert normalised_entropy(uniform, classes) == pytest.approx(1.0)
    assert normalised_entropy(uniform, classes) <= 1.0
    assert normalised_entropy(0.0, classes) == 0.0
    assert normalised_entropy(uniform / 4, classes) == pytest.approx(0.25)


def test_normalised_entropy_refuses_more_than_log_K_and_a_single_class():
    for nats in (0.7, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"over 2 classes is in \[0, 0.693147\] nats"):
            normalised_entropy(nats, 2)
    with pytest.raises(ValueError, match="K >= 2 classes, got 1"):
        normalised_entropy(0.0, 1)


def test_noise_is_memorised_above_what_right_labels_explain():
    assert memorised_noise(0.93, label_noise=0.1)
    assert not memorised_noise(0.91, label_noise=0.1)
    assert not memorised_noise(1.0, label_noise=0.0)


@pytest.mark.parametrize(
    ("temperatures", "values", "expected"),
    [
        ([1, 2, 4], [0.1, 0.3, 0.2], 2),
        ([4, 1, 2], [0.2, 0.1, 0.3], 2),
        ([1, 2, 4, math.inf], [0.1, 0.2, 0.3, 0.0], 4),
        ([1, 2, 4, 8], [0.1, 0.3, 0.3, 0.2], 2),
        ([1, 2, 4], [0.3, 0.2, 0.1], None),
        ([1, 2, 4], [0.1, 0.2, 0.3], None),
        ([1, 2, 4], [0.3, 0.3, 0.1], None),
        ([1, 2], [0.1, 0.3], None),
        ([1], [0.1], None),
    ],
)
def test_a_maximum_counts_inside_the_grid_only(temperatures, values, expected):
    assert interior_maximum(temperatures, values) == expected


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=9, unique=True))
def test_an_interior_maximum_is_above_both_neighbours(values):
    T = interior_maximum(range(len(values)), values)
    if T is None:
        assert max(values) in (values[0], values[-1])
    else:
        assert values[T - 1] < values[T] > values[T + 1]


@pytest.mark.parametrize(
    ("temperatures", "values"), [([1, 2], [0.1]), ([], []), ([1, 2, 3], [0.1, math.nan, 0.2])]
)
def test_a_maximum_needs_a_number_for_each_temperature(temperatures, values):
    with pytest.raises(ValueError, match="a finite value for each"):
        interior_maximum(temperatures, values)
