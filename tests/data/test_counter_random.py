import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from kdrun.data.counter_random import (
    RandomStream,
    counter_bits,
    counter_integers,
    host_generator,
    shuffled,
    stream_key,
)

COUNT = 100_000
words = st.integers(0, 2**53)


def splitmix64(seed, count):
    """The published generator, one output at a time, with a state."""
    state, outputs = seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        outputs.append(z ^ (z >> 31))
    return outputs


def test_the_reference_generator_gives_the_published_numbers():
    assert splitmix64(1234567, 5) == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@settings(deadline=None)
@given(words, words, st.sampled_from(RandomStream))
def test_counter_bits_are_the_outputs_of_splitmix64(seed, view, stream):
    bits = counter_bits(seed, view, torch.arange(20), stream)
    expected = splitmix64(stream_key(seed, view, stream), 20)
    assert [number % 2**64 for number in bits.tolist()] == expected


@settings(deadline=None)
@given(words, st.lists(st.integers(0, 10**7), min_size=1, max_size=50))
def test_a_number_depends_on_its_index_and_not_on_its_batch(seed, indices):
    together = counter_bits(seed, 3, torch.tensor(indices), RandomStream.CROP)
    alone = [counter_bits(seed, 3, torch.tensor([index]), RandomStream.CROP) for index in indices]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("high", [1, 2, 18, 98, 162, 1000])
def test_integers_are_uniform_over_their_range(high):
    numbers = counter_integers(5, 2, torch.arange(COUNT), RandomStream.CROP, high=high)
    counts = np.bincount(numbers, minlength=high)
    assert len(counts) == high
    assert high == 1 or chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 0, RandomStream.CROP), (0, 0, RandomStream.RESIZED_CROP)),
        ((0, 0, RandomStream.CROP), (0, 1, RandomStream.CROP)),
        ((0, 0, RandomStream.CROP), (1, 0, RandomStream.CROP)),
        ((0, 1, RandomStream.CROP), (1, 0, RandomStream.CROP)),
    ],
    ids=["streams", "views", "seeds", "seed and view swapped"],
)
def test_streams_views_and_seeds_are_independent(one, other):
    numbers = [
        counter_integers(seed, view, torch.arange(COUNT), stream, high=16)
        for seed, view, stream in (one, other)
    ]
    pairs = np.bincount(numbers[0] * 16 + numbers[1], minlength=256).reshape(16, 16)
    assert chi2_contingency(pairs).pvalue > 1e-3


@pytest.mark.parametrize("distance", [1, 2, 128])
def test_neighbours_are_independent(distance):
    numbers = counter_integers(0, 0, torch.arange(COUNT), RandomStream.CROP, high=16)
    pairs = np.bincount(numbers[:-distance] * 16 + numbers[distance:], minlength=256)
    assert chi2_contingency(pairs.reshape(16, 16)).pvalue > 1e-3


@settings(deadline=None)
@given(words, words, st.integers(0, 300))
def test_the_order_is_a_permutation(seed, view, count):
    order = shuffled(count, seed, view)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(count))


def test_the_order_is_a_function_of_seed_and_view():
    orders = {tuple(shuffled(50, seed, view).tolist()) for seed in range(3) for view in range(3)}
    assert len(orders) == 9
    assert torch.equal(shuffled(50, 1, 2), shuffled(50, 1, 2))


def test_the_order_is_the_one_it_has_always_been():
    # Stored results and checkpoints in the middle of an epoch hang on it.
    assert shuffled(10, 0, 0).tolist() == [0, 7, 8, 6, 9, 5, 1, 3, 2, 4]


def test_host_generators_differ_by_every_part():
    parts = [(0, 1, 0, 0), (1, 1, 0, 0), (0, 2, 0, 0), (0, 1, 1, 0), (0, 1, 0, 1)]
    assert len({host_generator(*part).random() for part in parts}) == len(parts)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_numbers_are_the_same_on_a_gpu():
    indices = torch.arange(COUNT)
    on_gpu = counter_bits(3, 4, indices.cuda(), RandomStream.CROP).cpu()
    assert torch.equal(on_gpu, counter_bits(3, 4, indices, RandomStream.CROP))
