"""Curves of a model's probabilities over the temperature."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kdrun.analysis.inputs import checked_temperatures, finite_table
from kdrun.analysis.root_finding import increasing_root
from kdrun.losses.temperature import softmax_with_temperature

# Search range of T: no network's logits are close enough for a lower T to matter.
LOWEST, HIGHEST = 1e-6, 1000.0


@dataclass(frozen=True, eq=False)
class TemperatureCurve:
    """Means over the samples at each temperature; `entropy_slope` is dH/dT >= 0."""

    temperatures: tuple[float, ...]
    mean_entropy: tuple[float, ...]
    mean_max_probability: tuple[float, ...]
    entropy_slope: tuple[float, ...]
    logits: Tensor = field(repr=False)

    def temperature_for(self, entropy: float) -> float:
        """Find the T with a given mean entropy in nats, also off the grid.

        ValueError if no T in [1e-6, 1000] has it.
        """
        least, most = (_means(self.logits, T)[0] for T in (LOWEST, HIGHEST))
        if not least <= entropy <= most:
            raise ValueError(
                f"T in [{LOWEST:g}, {HIGHEST:g}] gives a mean entropy from {least:.6g} to "
                f"{most:.6g} nats, never {entropy}"
            )

        def excess(log_T: float) -> tuple[float, float]:
            T = math.exp(log_T)
            mean, _, slope = _means(self.logits, T)
            return mean - entropy, slope * T

        return math.exp(increasing_root(excess, math.log(LOWEST), math.log(HIGHEST)))


def temperature_curve(logits: Tensor, temperatures: Iterable[float]) -> TemperatureCurve:
    """Compute entropy and largest probability of (N, K) logits at each T in (0, 1000] or inf."""
    grid, values = checked_temperatures(temperatures), finite_table("logits", logits)
    entropies, largest, slopes = zip(*(_means(values, T) for T in grid), strict=True)
    return TemperatureCurve(grid, entropies, largest, slopes, values)


def _means(logits: Tensor, T: float) -> tuple[float, float, float]:
    """Mean entropy, mean largest probability and mean dH/dT = Var(z) / T^3 at T."""
    probs = softmax_with_temperature(logits, T)
    mean = (probs * logits).sum(dim=1, keepdim=True)
    variance = (probs * (logits - mean).square()).sum(dim=1)
    return (
        torch.special.entr(probs).sum(dim=1).mean().item(),
        probs.amax(dim=1).mean().item(),
        variance.mean().item() / T / T / T,
    )
