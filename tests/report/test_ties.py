"""Settings that do not differ significantly from the best."""

import numpy as np
import pytest
from scipy import stats

from kdrun.report.paired_gain import Discordant, mcnemar
from kdrun.report.ties import Score, control_p_words, scores_gain, ties_with_best, ties_words
from kdrun.store.correct_images import Correct


def setting(*right, source="images"):
    """Seed -> score of models that get these images right."""
    return {
        seed: Score(float(np.mean(bits)), Correct(len(bits), source, np.packbits(bits).tobytes()))
        for seed, bits in enumerate(right)
    }


def first(count, images=100):
    return np.arange(images) < count


def test_single_models_are_compared_by_mcnemar():
    best, near, far = setting(first(95)), setting(first(91)), setting(first(80))
    ties = ties_with_best([best, near, far])
    assert (ties.tied, ties.apart, ties.unknown) == ([1], [2], [])
    words = ties_words(ties, ["a", "b", "c"])
    assert words.startswith(
        "1 of the other 2 settings does not differ significantly from the best on"
    )
    assert "at 95 % (exact McNemar): b; single models say nothing about the settings" in words


def test_the_words_fit_all_and_none():
    best, near, far = setting(first(95)), setting(first(94)), setting(first(50))
    told = {
        "the other setting does not differ significantly from the best on validation": [near],
        "the other setting is worse than the best on validation": [far],
        "none of the other 2 settings differs significantly from the best": [near, near],
        "the other 2 settings are worse than the best": [far, far],
    }
    for words, others in told.items():
        ties = ties_with_best([best, *others])
        assert ties_words(ties, ["a", "b", "c"]).startswith(words)


def test_seeds_are_compared_by_the_paired_t_test():
    counts = [(95, 94, 96), (94, 95, 95), (90, 90, 92)]
    settings = [setting(*map(first, one)) for one in counts]
    ties = ties_with_best(settings)
    p = [stats.ttest_rel(one, counts[0]).pvalue for one in counts[1:]]
    assert p[0] > 0.05 > p[1]
    assert (ties.tied, ties.apart) == ([1], [2])
    assert "paired t over the seeds" in ties_words(ties, ["a", "b", "c"])


def test_many_settings_are_adjusted_for_their_number():
    # 6 images apart each: p = 0.031, of three comparisons 0.094.
    few, many = ([setting(first(95)), *[setting(first(89))] * n] for n in (2, 3))
    assert ties_with_best(few).apart == [1, 2]
    assert ties_with_best(many).tied == [1, 2, 3]
    assert "Holm" in ties_words(ties_with_best(many), ["a", "b", "c", "d"])


def test_equal_models_are_tied_and_other_images_are_not_compared():
    best = setting(first(95))
    assert ties_with_best([best, setting(first(95))]).tied == [1]
    other = ties_with_best([best, setting(first(80), source="others")])
    assert (other.tied, other.apart, other.unknown) == ([], [], [1])
    assert "could not be compared" in ties_words(other, ["a", "b"])


@pytest.mark.parametrize("difference", [0, 1, 40])
def test_differences_without_a_spread_are_untested(difference):
    best = setting(first(95), first(93))
    same = setting(first(95 - difference), first(93 - difference))
    ties = ties_with_best([best, same])
    assert (ties.tied, ties.untested, ties.apart) == ([], [1], [])
    words = ties_words(ties, ["a", "b"])
    assert words == "1 untested, with the same difference at every seed: b"
    near = setting(first(95), first(92))
    words = ties_words(ties_with_best([best, same, near]), ["a", "b", "c"])
    assert words.startswith("the tested setting does not differ significantly from the best")
    assert "; 1 untested, " in words


def test_seeds_of_other_validation_images_are_not_paired():
    best = setting(first(95), first(94), first(96))
    other = setting(first(80), first(81), first(83), source="others")
    ties = ties_with_best([best, other])
    assert (ties.tied, ties.apart, ties.unknown) == ([], [], [1])
    assert "their validation images differ" in ties_words(ties, ["a", "b"])
    mixed = other | {0: setting(first(80))[0]}
    assert scores_gain(mixed, best).points == pytest.approx(-15)
    assert scores_gain(mixed, best).seeds == 1


def test_a_setting_that_is_better_at_the_shared_seeds_is_never_called_worse():
    # At seed 0, which both have, the second gets 15 images more; the first has a better seed too.
    ties = ties_with_best([setting(first(80), first(99)), setting(first(95))])
    assert (ties.tied, ties.apart, ties.ahead) == ([], [], [1])
    words = ties_words(ties, ["a", "b"])
    assert "worse" not in words
    assert "1 better at the shared seeds" in words
    assert "compared at some seeds only: b (of 1 shared seed)" in words


@pytest.mark.parametrize("settings", [2, 3, 5, 12])
def test_a_setting_as_good_as_any_is_rarely_told_from_what_came_out_best(settings):
    rng = np.random.default_rng(settings)
    wrong, trials = 0, 300
    for _ in range(trials):
        right = rng.random((settings, 300)) < 0.9
        order = np.argsort(-right.sum(axis=1), kind="stable")
        ties = ties_with_best([setting(right[place]) for place in order])
        wrong += order.tolist().index(0) in ties.apart
    assert wrong <= stats.binom.isf(1e-4, trials, 0.05)


def test_p_over_a_control_are_adjusted_where_there_are_more_than_three():
    gains = [(name, mcnemar(Discordant(6 + n, 0, 99))) for n, name in enumerate("abcd")]
    assert control_p_words(gains[:3]) is None
    assert control_p_words([*gains[:3], ("none", None)]) is None
    raw = [2 / 2**n for n in (6, 7, 8, 9)]
    told = (
        f"{name}: p = {p * rank:.2g}"
        for name, p, rank in zip("abcd", raw, (1, 2, 3, 4), strict=True)
    )
    expected = "over control, p Holm-adjusted for 4 comparisons (the intervals are not): "
    assert control_p_words(gains) == expected + "; ".join(told)
