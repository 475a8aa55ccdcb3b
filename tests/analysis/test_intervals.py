import math

import numpy as np
import pytest

from kdrun.analysis import hoeffding_half_width, wilson_interval


def test_wilson_ends_are_where_the_score_test_just_rejects():
    for correct, n in [(81, 263), (3, 10), (9_700, 10_000)]:
        share = correct / n
        for end in wilson_interval(correct, n, 0.95):
            deviations = abs(share - end) / math.sqrt(end * (1 - end) / n)
            assert deviations == pytest.approx(1.959963984540054)


def test_wilson_interval_of_none_and_of_all_stays_within_a_share():
    z2 = 1.959963984540054**2
    none, all_right = wilson_interval(0, 20), wilson_interval(20, 20)
    assert none == pytest.approx((0, z2 / (20 + z2)))
    assert all_right == pytest.approx((20 / (20 + z2), 1))
    assert none.low >= 0
    assert all_right.high <= 1


def test_wilson_interval_covers_the_true_share_as_often_as_it_says():
    counts = np.random.default_rng(0).binomial(200, 0.9, size=2000)
    covered = [low <= 0.9 <= high for low, high in (wilson_interval(int(k), 200) for k in counts)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_more_confidence_or_fewer_samples_widen_the_interval():
    def width(*arguments):
        low, high = wilson_interval(*arguments)
        return high - low

    assert width(80, 100, 0.99) > width(80, 100) > width(800, 1000)


def test_hoeffding_half_width_has_its_closed_form():
    assert hoeffding_half_width(10_000) == pytest.approx(0.01358, abs=1e-5)
    width = hoeffding_half_width(50, delta=0.2)
    assert 2 * math.exp(-2 * 50 * width**2) == pytest.approx(0.2)


def test_arguments_out_of_range_are_refused():
    for arguments in [(0, 0), (5, 4), (-1, 4), (1, 4, 1.0), (1, 4, math.nan)]:
        with pytest.raises(ValueError, match="an interval needs"):
            wilson_interval(*arguments)
    for arguments in [(0,), (10, 0.0), (10, 1.0)]:
        with pytest.raises(ValueError, match="n must be at least 1"):
            hoeffding_half_width(*arguments)
