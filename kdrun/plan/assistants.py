"""Teaching assistants: number of steps, and choice of models by size."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

TIE = 1e-12
"""Largest difference in cost between equally good chains."""


@dataclass(frozen=True)
class RankedChain:
    """A chain from teacher to student: names of the assistants, largest first."""

    assistants: tuple[str, ...]
    cost: float
    """Sum over the steps of (ln ratio)^2 + (ln of the step's size ratio)^2."""
    ratios: tuple[float, ...]
    """Size of each model's teacher over its own."""


@dataclass(frozen=True)
class ChainSizes:
    """Parameter counts of the teacher, the student, and the candidate assistants."""

    teacher: int
    student: int
    candidates: Mapping[str, int]


def chain_steps(teacher_size: float, student_size: float, ratio: float) -> int:
    """Return the number of steps of at most `ratio` from teacher to student, at least 1.

    The chain has one assistant less. A student no smaller than its teacher is one step away.
    """
    _check_sizes(teacher_size, student_size)
    _check_ratio(ratio)
    # Without the margin, 5 * 5 * 5 would be more than 3 steps of 5 by rounding alone.
    return max(1, math.ceil(math.log(teacher_size / student_size) / math.log(ratio) - 1e-9))


def geometric_sizes(teacher_size: float, student_size: float, steps: int) -> list[float]:
    """Return steps + 1 sizes from teacher to student, in geometric progression."""
    _check_sizes(teacher_size, student_size)
    if not steps >= 1:
        raise ValueError(f"a chain needs steps >= 1, got {steps}")
    share = student_size / teacher_size
    between = [teacher_size * share ** (step / steps) for step in range(1, steps)]
    return [float(teacher_size), *between, float(student_size)]


def choose_assistants(
    teacher_size: float,
    student_size: float,
    candidates: Mapping[str, int],
    ratio: float = 5.0,
    max_assistants: int = 3,
) -> list[str]:
    """Return the assistants of the cheapest chain, largest first; [] if none is worth its step.

    The first assistant pays at teacher_size / student_size > ratio^sqrt(2). See `rank_chains`.
    """
    (best,) = rank_chains(teacher_size, student_size, candidates, ratio, max_assistants, count=1)
    return list(best.assistants)


def rank_chains(
    teacher_size: float,
    student_size: float,
    candidates: Mapping[str, int],
    ratio: float = 5.0,
    max_assistants: int = 3,
    count: int = 10,
) -> list[RankedChain]:
    """Return the `count` cheapest chains of strictly falling size, best first.

    The chain without assistants is one of the candidates.

    Args:
        teacher_size: parameters of the teacher, positive.
        student_size: parameters of the student, positive.
        candidates: name -> parameters; only sizes strictly between teacher and student are used,
            and of each size only the first name.
        ratio: size ratio of the ideal step, above 1; a larger ratio gives fewer assistants.
        max_assistants: largest number of assistants, at least 0.
        count: largest number of chains to return, at least 1.

    Returns:
        Chains sorted by cost; costs within 1e-12 are equal, and then fewer assistants come first,
        then the names in order.
    """
    _check_sizes(teacher_size, student_size)
    _check_ratio(ratio)
    if not (max_assistants >= 0 and count >= 1):
        raise ValueError(
            f"max_assistants must be >= 0 and count >= 1, got {max_assistants} and {count}"
        )
    names = _between(teacher_size, student_size, candidates)
    sizes = [teacher_size, *names, student_size]
    ranked: list[RankedChain] = []
    tied: list[RankedChain] = []
    for path in _cheapest_first(sizes, ratio, min(max_assistants, len(names))):
        chain = _chain([sizes[position] for position in path], names, ratio)
        if tied and chain.cost > tied[0].cost + TIE:
            ranked += sorted(tied, key=_fewer_then_by_name)
            tied = []
            if len(ranked) >= count:
                break
        tied.append(chain)
    return (ranked + sorted(tied, key=_fewer_then_by_name))[:count]


def _fewer_then_by_name(chain: RankedChain) -> tuple[int, tuple[str, ...]]:
    return len(chain.assistants), chain.assistants


def _between(
    teacher_size: float, student_size: float, candidates: Mapping[str, int]
) -> dict[float, str]:
    """Return size -> first name of that size, largest first."""
    names: dict[float, str] = {}
    for name, size in sorted(candidates.items()):
        if student_size < size < teacher_size:
            names.setdefault(size, name)
    return dict(sorted(names.items(), reverse=True))


def _chain(sizes: Sequence[float], names: Mapping[float, str], ratio: float) -> RankedChain:
    return RankedChain(
        assistants=tuple(names[size] for size in sizes[1:-1]),
        cost=math.fsum(_step_cost(larger, smaller, ratio) for larger, smaller in pairwise(sizes)),
        ratios=tuple(larger / smaller for larger, smaller in pairwise(sizes)),
    )


def _step_cost(larger: float, smaller: float, ratio: float) -> float:
    return math.log(ratio) ** 2 + math.log(larger / smaller) ** 2


def _cheapest_first(
    sizes: Sequence[float], ratio: float, max_assistants: int
) -> Iterator[tuple[int, ...]]:
    """Yield every chain by rising cost, as positions in the falling `sizes`.

    Best-first search with the exact remaining cost: only prefixes of the requested chains are
    expanded, not all (100 choose 3).
    """
    to_come = _costs_to_come(sizes, ratio, max_assistants)
    student = len(sizes) - 1
    # Cost of the best completion, cost so far, assistants to add, positions so far.
    open_ways: list[tuple[float, float, int, tuple[int, ...]]]
    open_ways = [(costs[0], 0.0, missing, (0,)) for missing, costs in enumerate(to_come)]
    heapify(open_ways)
    while open_ways:
        _, so_far, missing, way = heappop(open_ways)
        if missing == 0:
            yield (*way, student)
            continue
        for position in range(way[-1] + 1, student - missing + 1):
            cost = so_far + _step_cost(sizes[way[-1]], sizes[position], ratio)
            whole = cost + to_come[missing - 1][position]
            heappush(open_ways, (whole, cost, missing - 1, (*way, position)))


def _costs_to_come(sizes: Sequence[float], ratio: float, max_assistants: int) -> list[list[float]]:
    """Return [m][i]: the least cost from model i to the student through m more assistants."""
    student = len(sizes) - 1
    costs = [[_step_cost(size, sizes[student], ratio) for size in sizes[:student]]]
    for missing in range(1, max_assistants + 1):
        rest = costs[-1]
        costs.append(
            [
                min(
                    _step_cost(sizes[i], sizes[j], ratio) + rest[j]
                    for j in range(i + 1, student - missing + 1)
                )
                for i in range(student - missing)
            ]
        )
    return costs


def _check_sizes(teacher_size: float, student_size: float) -> None:
    if not (0 < teacher_size < math.inf and 0 < student_size < math.inf):
        raise ValueError(
            f"sizes must be positive numbers of parameters, got teacher_size={teacher_size} "
            f"and student_size={student_size}"
        )


def _check_ratio(ratio: float) -> None:
    if not 1 < ratio < math.inf:
        raise ValueError(f"ratio must be above 1, a step to a smaller model, got {ratio}")
