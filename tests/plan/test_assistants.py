"""Chains of assistants against enumeration of every chain."""

import math
from itertools import combinations, pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kdrun.plan.assistants import chain_steps, choose_assistants, geometric_sizes, rank_chains

IMAGENET = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "shufflenet_v2_x0_5": 1_366_792,
}

# Powers of two beside other sizes: many chains cost the same.
some_sizes = st.one_of(st.integers(0, 8).map(lambda n: 2**n), st.integers(1, 300))
some_candidates = st.dictionaries(st.sampled_from("abcdefg"), some_sizes, max_size=7)
ratios = st.floats(1.2, 20)


def cost(sizes, ratio):
    """As the definition reads."""
    return sum(math.log(ratio) ** 2 + math.log(a / b) ** 2 for a, b in pairwise(sizes))


def every_chain(teacher, student, candidates, ratio, most):
    """(cost, length, names) of all chains of strictly falling size."""
    falling = sorted(candidates, key=lambda name: (-candidates[name], name))
    for length in range(most + 1):
        for names in combinations(falling, length):
            sizes = [teacher, *(candidates[name] for name in names), student]
            if not names or all(a > b for a, b in pairwise(sizes)):
                yield cost(sizes, ratio), length, names


def best_chain(teacher, student, candidates, ratio, most):
    chains = list(every_chain(teacher, student, candidates, ratio, most))
    least = min(chain[0] for chain in chains)
    return min((length, names) for c, length, names in chains if c <= least + 1e-12)[1]


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [("resnet152", "shufflenet_v2_x0_5", ["resnet18"]), ("resnet34", "resnet18", [])],
)
def test_the_published_networks_get_their_assistants(teacher, student, expected):
    assert choose_assistants(IMAGENET[teacher], IMAGENET[student], IMAGENET) == expected


@given(some_sizes, some_sizes, some_candidates, ratios, st.integers(0, 4))
@settings(max_examples=300, deadline=None)
def test_the_choice_is_the_best_of_every_chain(teacher, student, candidates, ratio, most):
    chosen = choose_assistants(teacher, student, candidates, ratio, most)
    assert chosen == list(best_chain(teacher, student, candidates, ratio, most))


@given(some_sizes, some_sizes, some_candidates, ratios, st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_the_ranking_holds_the_cheapest_of_all_chains(teacher, student, candidates, ratio, count):
    first_of_size = {size: name for name, size in sorted(candidates.items(), reverse=True)}
    distinct = {name: size for size, name in first_of_size.items()}
    expected = sorted(every_chain(teacher, student, distinct, ratio, 3))[:count]
    ranked = rank_chains(teacher, student, candidates, ratio, 3, count)
    assert [chain.cost for chain in ranked] == pytest.approx([c for c, _, _ in expected])
    assert len(set(ranked)) == len(ranked)
    for chain in ranked:
        sizes = [teacher, *(candidates[name] for name in chain.assistants), student]
        assert chain.cost == pytest.approx(cost(sizes, ratio))
        assert chain.ratios == pytest.approx([a / b for a, b in pairwise(sizes)])
    for better, worse in pairwise(ranked):
        assert better.cost <= worse.cost + 1e-12
        if worse.cost <= better.cost + 1e-13:
            keys = [(len(chain.assistants), chain.assistants) for chain in (better, worse)]
            assert keys == sorted(keys)


@given(some_sizes, some_sizes, some_candidates, ratios)
@settings(deadline=None)
def test_the_chosen_sizes_fall_strictly(teacher, student, candidates, ratio):
    assume(teacher > student)
    names = choose_assistants(teacher, student, candidates, ratio)
    sizes = [teacher, *(candidates[name] for name in names), student]
    assert all(larger > smaller for larger, smaller in pairwise(sizes))


@given(some_sizes, some_sizes, some_candidates, some_candidates, ratios)
@settings(deadline=None)
def test_more_candidates_never_cost_more(teacher, student, candidates, others, ratio):
    (few,) = rank_chains(teacher, student, candidates, ratio, count=1)
    (many,) = rank_chains(teacher, student, others | candidates, ratio, count=1)
    assert many.cost <= few.cost + 1e-12


@given(some_sizes, some_candidates, ratios)
def test_a_student_as_large_as_its_teacher_needs_no_assistant(size, candidates, ratio):
    assert choose_assistants(size, size, candidates, ratio) == []
    assert chain_steps(size, size, ratio) == 1


@given(st.floats(1.5, 20), st.floats(0.5, 2))
def test_the_first_assistant_pays_from_ratio_to_the_square_root_of_two(ratio, power):
    threshold = math.sqrt(2)
    assume(abs(power - threshold) > 1e-6)
    half = ratio ** (power / 2)
    ideal = {"middle": 1_000_000}
    chosen = choose_assistants(1e6 * half, 1e6 / half, ideal, ratio)
    assert chosen == (["middle"] if power > threshold else [])


def test_equal_costs_go_to_fewer_assistants_then_to_the_first_names():
    # Steps of 2, 2 and 4 in three orders.
    ranked = rank_chains(16, 1, {"z": 8, "c": 4, "a": 2}, ratio=2.0, max_assistants=2)
    expected = [("c", "a"), ("z", "a"), ("z", "c"), ("c",)]
    assert [chain.assistants for chain in ranked[:4]] == expected
    # With ratio 2, two steps of 2^(1/sqrt 2) cost as much as the direct way.
    root = 2 ** (1 / math.sqrt(2))
    first, second = rank_chains(1e6 * root, 1e6 / root, {"middle": 1_000_000}, ratio=2.0)
    assert first.cost == pytest.approx(second.cost, abs=1e-12)
    assert first.assistants == ()
    assert choose_assistants(100, 1, {"b": 10, "a": 10, "c": 10}) == ["a"]


def test_candidates_not_strictly_between_are_left_out():
    candidates = {"teacher": 100, "larger": 10_000, "student": 1, "smaller": 0.5, "middle": 10}
    ranked = rank_chains(100, 1, candidates, count=100)
    assert {name for chain in ranked for name in chain.assistants} == {"middle"}


def test_no_more_assistants_than_allowed():
    grid = {f"size{n}": 5**n for n in range(1, 6)}
    for most in range(7):
        assert len(choose_assistants(5**6, 1, grid, max_assistants=most)) == min(most, 5)


def test_a_long_chain_is_found_among_more_candidates_than_can_be_enumerated():
    # Eight steps of the ideal ratio cost least of all; (108 choose 8) chains are never walked.
    grid = {f"ideal{n}": 5**n for n in range(1, 9)}
    between = {f"other{n}": 7 + 19_531 * n for n in range(1, 101)}
    chosen = choose_assistants(5**9, 1, grid | between, max_assistants=8)
    assert chosen == [f"ideal{n}" for n in range(8, 0, -1)]


@pytest.mark.parametrize(
    ("teacher", "student", "ratio", "steps"),
    [
        (100, 100, 5, 1),
        (100, 99, 5, 1),
        (125, 1, 5, 3),
        (126, 1, 5, 4),
        (124, 1, 5, 3),
        (1000, 1, 10, 3),
        (3**20, 1, 3, 20),
        (60_192_808, 1_366_792, 5.0, 3),
        (1, 100, 5, 1),
    ],
)
def test_steps_are_the_logarithm_rounded_up(teacher, student, ratio, steps):
    assert chain_steps(teacher, student, ratio) == steps


@given(st.integers(1, 10**9), st.integers(1, 10**9), ratios)
def test_geometric_steps_are_no_larger_than_the_ratio(teacher, student, ratio):
    assume(teacher > student)
    steps = chain_steps(teacher, student, ratio)
    sizes = geometric_sizes(teacher, student, steps)
    assert all(1 < a / b <= ratio * (1 + 1e-8) for a, b in pairwise(sizes))
    if steps > 1:
        assert (teacher / student) ** (1 / (steps - 1)) > ratio


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 12))
def test_geometric_sizes_go_from_teacher_to_student_in_equal_ratios(teacher, student, steps):
    sizes = geometric_sizes(teacher, student, steps)
    assert (len(sizes), sizes[0], sizes[-1]) == (steps + 1, teacher, student)
    expected = (teacher / student) ** (1 / steps)
    assert [a / b for a, b in pairwise(sizes)] == pytest.approx([expected] * steps, rel=1e-9)


@pytest.mark.parametrize("size", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("function", [chain_steps, geometric_sizes, choose_assistants])
def test_sizes_that_are_no_positive_number_are_refused(function, size):
    last = {} if function is choose_assistants else 3
    for sizes in [(size, 10), (10, size)]:
        with pytest.raises(ValueError, match="sizes must be positive"):
            function(*sizes, last)


@pytest.mark.parametrize("ratio", [1, 0.5, 0, -5, math.nan, math.inf])
def test_a_ratio_that_does_not_shrink_is_refused(ratio):
    with pytest.raises(ValueError, match="ratio must be above 1"):
        chain_steps(10, 1, ratio)
    with pytest.raises(ValueError, match="ratio must be above 1"):
        choose_assistants(10, 1, {}, ratio)


def test_counts_out_of_range_are_refused():
    with pytest.raises(ValueError, match="steps >= 1, got 0"):
        geometric_sizes(10, 1, 0)
    with pytest.raises(ValueError, match="max_assistants must be >= 0"):
        choose_assistants(10, 1, {}, max_assistants=-1)
    with pytest.raises(ValueError, match="count >= 1"):
        rank_chains(10, 1, {}, count=0)
