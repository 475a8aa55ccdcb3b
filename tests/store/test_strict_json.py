"""JSON that kdrun never writes is refused, however it is spelt."""

import json

import pytest

from kdrun.store.strict_json import DEPTH, loads


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "1" * 21, "{"])
def test_what_is_no_number_of_64_bits_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
        loads(text.encode())


@pytest.mark.parametrize("number", [2**63 - 1, 1 - 2**63, 1.5e308, 0, -0.25])
def test_numbers_come_back(number):
    assert loads(json.dumps([number]).encode()) == [number]


@pytest.mark.parametrize("depth", [DEPTH + 1, 900, 100_000])
def test_deep_nesting_is_refused(depth):
    with pytest.raises((ValueError, RecursionError)):
        loads(b"[" * depth + b"]" * depth)


def test_nesting_like_that_of_our_own_files_is_read():
    assert loads(b"[" * 30 + b"]" * 30) is not None


def test_half_a_pair_of_surrogates_is_refused_and_a_whole_one_read():
    assert loads(rb'"\ud83d\ude00"') == "\N{GRINNING FACE}"
    with pytest.raises(ValueError, match="surrogates not allowed"):
        loads(rb'"\ud83d"')
