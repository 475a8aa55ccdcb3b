"""The temperature, as users import it: softened probabilities, T over the epochs, its choice."""

from kdrun.analysis.temperature_guideline import (
    NOISY_FROM,
    auto_temperature,
    entropy_of_counts,
    formula_temperature,
    interior_maximum,
    memorised_noise,
    normalised_entropy,
    optimal_temperature,
)
from kdrun.losses.temperature import (
    FLOAT64_FROM,
    check_temperature,
    softened,
    softmax_with_temperature,
    widened,
)
from kdrun.training.temperature_schedule import SCHEDULES, Schedule, temperature_at

__all__ = [
    "FLOAT64_FROM",
    "NOISY_FROM",
    "SCHEDULES",
    "Schedule",
    "auto_temperature",
    "check_temperature",
    "entropy_of_counts",
    "formula_temperature",
    "interior_maximum",
    "memorised_noise",
    "normalised_entropy",
    "optimal_temperature",
    "softened",
    "softmax_with_temperature",
    "temperature_at",
    "widened",
]
