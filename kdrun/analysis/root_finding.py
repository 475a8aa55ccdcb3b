"""Root of an increasing function of one variable."""

from collections.abc import Callable

# Halving the bracket alone would need fewer to reach float64's last digit.
MOST_STEPS = 200


def increasing_root(
    function: Callable[[float], tuple[float, float]], low: float, high: float
) -> float:
    """Where a function that returns (value, slope) rises through 0 in [low, high], within 1e-13.

    Newton's method, and halving where it leaves the bracket or shortens its steps too slowly.
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
