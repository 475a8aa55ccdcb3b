"""Root of an increasing function of one variable."""

from collections.abc import Callable

# Bisection alone needs fewer to reach float64 precision.
MOST_STEPS = 200


def increasing_root(
    function: Callable[[float], tuple[float, float]], low: float, high: float
) -> float:
    """Find the root in [low, high] of a function that returns (value, slope), within 1e-13.

    Newton's method, with bisection if a step leaves the bracket or shrinks too slowly.
    """
    x, last_step = (low + high) / 2, high - low
    for _ in range(MOST_STEPS):
        value, slope = function(x)
        low, high = (x, high) if value < 0 else (low, x)
        middle = (low + high) / 2
        newton = x - value / slope if slope > 0 else middle
        quick = low <= newton <= high and abs(newton - x) <= abs(last_step) / 2
        step = (newton if quick else middle) - x
        if abs(step) <= 1e-13:
            return x + step
        x, last_step = x + step, step
    return x
