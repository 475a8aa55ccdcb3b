"""Public functions of the temperature: softened probabilities, schedules, selection of T."""

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
from kdrun.catalog.schedules import TEMPERATURE_SCHEDULES
from kdrun.losses.temperature import (
    FLOAT64_FROM,
    check_temperature,
    softened,
    softmax_with_temperature,
    widened,
)
from kdrun.training.temperature_schedule import Schedule, temperature_at

SCHEDULES: dict[str, Schedule] = {
    name: row.load() for name, row in TEMPERATURE_SCHEDULES.items() if row.code
}
"""Temperature schedules that are functions of the epoch."""

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
