import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdrun.analysis import dark_knowledge, dark_knowledge_curve
from tests.analysis.draws import labels, logits, probs
from tests.losses.reference import kl

few = pytest.mark.filterwarnings("ignore:fewer than 20 samples")


def entropy(row):
    return -math.fsum(p * math.log(p) for p in row if p > 0)


def looped(rows, targets):
    """Lower, upper and max by their definitions."""
    rows, targets = rows.tolist(), targets.tolist()
    lower, upper, most = -sum(map(entropy, rows)) / len(rows), 0.0, 0.0
    for label in set(targets):
        members = [row for row, target in zip(rows, targets, strict=True) if target == label]
        share, columns = len(members) / len(rows), list(zip(*members, strict=True))
        ceiling = entropy([math.fsum(column) / len(members) for column in columns])
        lower += share * ceiling
        most += share * ceiling
        for i, row in enumerate(members):
            others = members[:i] + members[i + 1 :]
            if others:
                mean = [math.fsum(column) / len(others) for column in zip(*others, strict=True)]
                upper += kl(row, mean) / len(rows)
    return lower, upper, most


@few
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 20))
@settings(max_examples=25, deadline=None)
def test_bracket_is_what_its_definition_says(seed, scale):
    rows, targets = probs(seed, 40, 3, scale), labels(seed, 40, 3)
    result = dark_knowledge(rows, targets)
    expected = looped(rows, targets)
    assert (result.lower, result.upper, result.max) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@few
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 20))
@settings(max_examples=25, deadline=None)
def test_bracket_is_ordered_and_does_not_depend_on_any_order(seed, scale):
    rows, targets = probs(seed, 60, 4, scale), labels(seed, 60, 4)
    result = dark_knowledge(rows, targets)
    assert 0 <= result.lower <= result.upper
    assert result.lower <= result.max <= math.log(4)
    samples = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    classes = torch.tensor([2, 0, 3, 1])
    moved = dark_knowledge(rows[samples][:, classes], classes.argsort()[targets[samples]])
    for name in ("lower", "upper", "max", "similarity"):
        assert getattr(moved, name) == pytest.approx(getattr(result, name), abs=1e-12)


@few
def test_bracket_holds_the_information_of_a_dirichlet_teacher():
    concentrations = torch.tensor([[3.0, 1.0, 0.5], [0.7, 2.0, 0.7], [1.0, 1.0, 6.0]]).double()
    total = concentrations.sum(1, keepdim=True)
    mean = concentrations / total
    # H(E p) - E H(p), with E H(p) = psi(A + 1) - sum of a/A psi(a + 1).
    conditional = torch.digamma(total + 1).squeeze(1) - (
        mean * torch.digamma(concentrations + 1)
    ).sum(1)
    exact = (torch.special.entr(mean).sum(1) - conditional).mean().item()
    rng = np.random.default_rng(0)
    targets = torch.arange(3).repeat_interleave(12)
    results = [
        dark_knowledge(
            torch.tensor(np.concatenate([rng.dirichlet(a, 12) for a in concentrations.numpy()])),
            targets,
        )
        for _ in range(200)
    ]
    lower, upper = ([getattr(result, side) for result in results] for side in ("lower", "upper"))
    error = np.std(lower) / math.sqrt(200), np.std(upper) / math.sqrt(200)
    # Biased away from the truth on either side, by more than the error of the two means.
    assert np.mean(lower) + 3 * error[0] < exact < np.mean(upper) - 3 * error[1]

    many = torch.tensor(np.concatenate([rng.dirichlet(a, 4000) for a in concentrations.numpy()]))
    tight = dark_knowledge(many, torch.arange(3).repeat_interleave(4000))
    assert tight.lower == pytest.approx(exact, abs=0.01)
    assert tight.upper == pytest.approx(exact, abs=0.01)
    assert tight.max == pytest.approx(torch.special.entr(mean).sum(1).mean().item(), abs=0.01)


def test_a_teacher_that_repeats_the_label_knows_nothing_more():
    targets = labels(1, 200, 4)
    row = torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.float64)
    rows = torch.stack([row.roll(int(target)) for target in targets])
    result = dark_knowledge(rows, targets)
    assert (result.lower, result.upper) == pytest.approx((0, 0), abs=1e-12)
    assert result.max == pytest.approx(entropy(row.tolist()))
    assert result.similarity == pytest.approx(0, abs=1e-12)


@few
def test_a_class_with_one_sample_adds_nothing_to_upper_and_is_named():
    rows = torch.cat([probs(2, 40, 3), torch.tensor([[0.1, 0.2, 0.7]])])
    targets = torch.tensor([0] * 40 + [2])
    with pytest.warns(UserWarning, match="one sample .*: class 2$"):
        result = dark_knowledge(rows, targets)
    alone = dark_knowledge(rows[:40], targets[:40])
    assert result.upper == pytest.approx(alone.upper * 40 / 41)
    assert result.lower == pytest.approx(alone.lower * 40 / 41)
    assert result.max == pytest.approx((alone.max * 40 + entropy([0.1, 0.2, 0.7])) / 41)


@few
def test_disjoint_supports_give_an_infinite_upper_estimate():
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    result = dark_knowledge(rows, torch.tensor([2, 2]))
    assert result.upper == math.inf
    assert result.lower == result.max == pytest.approx(math.log(2))


@few
def test_others_of_tiny_probability_keep_the_upper_estimate_finite():
    confident = torch.tensor([[1.0, 1e-30], [1e-30, 1.0], [1e-30, 1.0]], dtype=torch.float64)
    result = dark_knowledge(confident, torch.zeros(3, dtype=torch.long))
    expected = (30 * math.log(10) + 2 * math.log(2)) / 3
    assert result.upper == pytest.approx(expected)


def test_classes_with_few_samples_are_warned_of_and_others_are_not():
    targets = torch.tensor([0] * 20 + [1] * 19 + [3] * 25)
    with pytest.warns(UserWarning, match="fewer than 20 samples.*: class 1$"):
        dark_knowledge(probs(3, 64, 5), targets)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dark_knowledge(probs(3, 64, 5), torch.arange(64) % 3)


def test_the_split_of_few_samples_is_named():
    targets = torch.tensor([0] * 20 + [1])
    with pytest.warns(UserWarning, match="validation") as caught:
        dark_knowledge(probs(3, 21, 5), targets, "validation")
    lines = [str(one.message) for one in caught]
    assert [line.partition(",")[0] for line in lines[1:]] == ["fewer than 20 validation samples"]
    assert lines[0].startswith("one validation sample is too few")


def test_a_long_list_of_classes_is_cut_short():
    with pytest.warns(UserWarning, match="classes 0, 1, .* 9 and 20 more"):
        dark_knowledge(probs(4, 60, 30), torch.arange(60) % 30)


@few
def test_curve_holds_the_bracket_at_each_temperature():
    z, targets = logits(5, 80, 4), labels(5, 80, 4)
    curve = dark_knowledge_curve(z, targets, [1.0, 4.0, math.inf])
    for place, T in enumerate(curve.temperatures):
        single = dark_knowledge(torch.softmax(z / T, 1), targets)
        measured = curve.lower[place], curve.upper[place], curve.max[place]
        assert measured == pytest.approx((single.lower, single.upper, single.max), abs=1e-12)
    assert curve.lower[2] == curve.upper[2] == pytest.approx(0, abs=1e-15)


def test_curve_peaks_where_images_that_differ_beside_the_first_class_are_told_apart():
    z = torch.tensor([[9.0, 3.0, 0.0], [9.0, 0.0, 3.0]]).repeat(30, 1)
    curve = dark_knowledge_curve(z, torch.zeros(60, dtype=torch.long), [0.5, 4.0, 100.0])
    low, inside, high = curve.lower
    assert inside > 10 * max(low, high)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="probs must be probabilities"):
        dark_knowledge(logits(6), labels(6))
    with pytest.raises(ValueError, match="labels must be"):
        dark_knowledge(probs(6), labels(6)[:-1])
    with pytest.raises(ValueError, match="labels must be"):
        dark_knowledge_curve(logits(6), labels(6).float(), [1.0])
