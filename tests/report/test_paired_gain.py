"""Paired differences: intervals and p against scipy's tests, and what they say of no effect."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdrun.report.gain_words import Compared, gain_sentence
from kdrun.report.paired_gain import (
    Discordant,
    bonett_price,
    conditional,
    holm,
    mcnemar,
    paired_gain,
)

accuracies = st.floats(0, 1)


@given(st.lists(st.tuples(accuracies, accuracies), min_size=2, max_size=8))
def test_several_seeds_are_put_to_the_paired_t_test(pairs):
    ours, theirs = zip(*pairs, strict=True)
    gain = paired_gain(ours, theirs)
    assert gain.points == pytest.approx(100 * np.mean(np.subtract(ours, theirs)), abs=1e-9)
    assert (gain.seeds, gain.test, gain.only_ours) == (len(pairs), "paired_t", None)
    if np.std(np.subtract(ours, theirs)) < 1e-9:
        assert gain.p is gain.low is gain.high is None
        return
    expected = stats.ttest_rel(np.multiply(100, ours), np.multiply(100, theirs))
    interval = expected.confidence_interval(0.95)
    assert gain.p == pytest.approx(expected.pvalue, rel=1e-5, abs=1e-12)
    assert (gain.low, gain.high) == pytest.approx((interval.low, interval.high), rel=1e-5, abs=1e-7)
    assert (gain.is_gain, gain.is_loss) == (interval.low > 0, interval.high < 0)


@pytest.mark.parametrize("shift", [0.0, 0.01, -0.01])
def test_equal_differences_have_no_spread_and_are_no_gain(shift):
    theirs = [0.50, 0.70, 0.90]
    gain = paired_gain([accuracy + shift for accuracy in theirs], theirs)
    assert gain.points == pytest.approx(100 * shift)
    assert gain.low is gain.high is gain.p is None
    assert not gain.is_gain
    assert not gain.is_loss
    words = gain_sentence(gain, "test", Compared("it", "the student", "the control", "the control"))
    assert words.endswith("at each of 3 seeds: untested (equal at all 3 seeds)")


def test_one_seed_without_its_images_has_no_test():
    gain = paired_gain([0.9], [0.5])
    assert gain.points == pytest.approx(40)
    assert (gain.low, gain.p, gain.test, gain.seeds) == (None, None, None, 1)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5000))
def test_one_seed_is_put_to_the_exact_test_of_its_images(ours, theirs, others):
    images = max(1, ours + theirs + others)
    gain = paired_gain([0.9], [0.8], Discordant(ours, theirs, images))
    expected = stats.binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
    assert gain.p == pytest.approx(expected)
    assert gain.points == pytest.approx(100 * (ours - theirs) / images)
    assert gain.low <= gain.points <= gain.high
    # The interval and p say the same.
    assert (gain.low <= 0 <= gain.high) == (gain.p >= 0.05)
    assert not gain.is_gain
    assert not gain.is_loss


@pytest.mark.parametrize(("ours", "theirs"), [(20, 9), (7, 7), (1, 0)])
def test_the_conditional_interval_is_that_of_scipys_exact_binomial_test(ours, theirs):
    exact = stats.binomtest(ours, ours + theirs).proportion_ci(0.95, method="exact")
    scale = (ours + theirs) / 449
    expected = [scale * (2 * end - 1) for end in (exact.low, exact.high)]
    assert conditional(Discordant(ours, theirs, 449)) == pytest.approx(expected)


def test_the_adjusted_interval_is_bonett_and_prices():
    # By hand: (21 - 10) / 451 ± 1.959964 sqrt((31 / 451 - (11 / 451)²) / 451).
    half = 1.959964 * math.sqrt((31 / 451 - (11 / 451) ** 2) / 451)
    found = bonett_price(Discordant(20, 9, 449))
    assert found == pytest.approx((11 / 451 - half, 11 / 451 + half), abs=1e-6)


def test_intervals_of_two_models_cover_their_difference():
    rng = np.random.default_rng(0)
    shares, images = (0.06, 0.03), 500
    draws = rng.multinomial(images, [*shares, 1 - sum(shares)], size=2000)
    found = [mcnemar(Discordant(int(a), int(b), images)) for a, b, _ in draws]
    covered = np.mean([gain.low <= 3 <= gain.high for gain in found])
    assert covered >= 0.94


SEEDS = (2, 3, 5, 10)
TRIALS = 2000


def null_accuracies(rng, seeds, images):
    """Two ways to train without any difference: a spread over seeds, and drawn images."""
    skill = np.clip(rng.normal(0.9, 0.01, size=(TRIALS, 2, seeds)), 0, 1)
    return (rng.binomial(images, skill) / images).tolist()


@pytest.mark.parametrize("images", [449, 10_000])
@pytest.mark.parametrize("seeds", SEEDS)
def test_without_an_effect_at_most_one_in_twenty_verdicts_is_a_gain_or_a_loss(seeds, images):
    rng = np.random.default_rng(seeds)
    found = [paired_gain(*trial) for trial in null_accuracies(rng, seeds, images)]
    wrong = sum(gain.is_gain or gain.is_loss for gain in found)
    # So many are passed with probability below 1e-4 where the rate is 5 %.
    assert wrong <= stats.binom.isf(1e-4, TRIALS, 0.05)
    assert sum(gain.is_gain for gain in found) <= stats.binom.isf(1e-4, TRIALS, 0.025)


def test_a_true_effect_is_found():
    rng = np.random.default_rng(0)
    found = [
        paired_gain([our + 0.05 for our in ours], theirs)
        for ours, theirs in null_accuracies(rng, 5, 10_000)
    ]
    assert np.mean([gain.is_gain for gain in found]) > 0.9


def test_one_seed_never_says_gain_or_keep():
    rng = np.random.default_rng(1)
    of = Compared("distillation", "the student", "the control", "the control")
    for right in rng.random((200, 2, 400)) < rng.random((200, 2, 1)):
        counts = Discordant(
            int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum()), right.shape[1]
        )
        gain = paired_gain([right[0].mean()], [right[1].mean()], counts)
        words = gain_sentence(gain, "test", of)
        assert "gain" not in words
        assert "keep" not in words
        assert words.endswith("one seed says nothing about the method: seeds=[0,1,2,3,4]")


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holms_p_are_those_of_his_procedure(values):
    adjusted = holm(values)
    # Rejected at a level exactly where the step-down procedure rejects.
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for number, place in enumerate(np.argsort(values, kind="stable")):
            if values[place] * (len(values) - number) >= level:
                break
            rejected.add(int(place))
        assert {place for place, p in enumerate(adjusted) if p < level} == rejected


def test_holm_leaves_out_what_was_not_tested():
    assert holm([0.04, None, 0.01]) == [0.04, None, 0.02]


def test_a_comparison_without_pairs_is_refused():
    for ours, theirs in [([], []), ([0.1], []), ([0.1], [0.1, 0.2])]:
        with pytest.raises(ValueError, match="of at least one seed, got"):
            paired_gain(ours, theirs)


@pytest.mark.parametrize("wrong", [(-1, 0, 10), (6, 5, 10), (0, 0, 0)])
def test_counts_beyond_the_images_are_refused(wrong):
    with pytest.raises(ValueError, match="within all images"):
        mcnemar(Discordant(*wrong))
