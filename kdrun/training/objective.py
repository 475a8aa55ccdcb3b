"""Training objective: a weighted sum of loss terms."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from kdrun.losses.term import EpochFit, LossTerm, Outputs, StepContext, total


class Objective(nn.Module):
    """The weighted sum of the active loss terms.

    Args:
        terms: modules by name, called with (student, teacher, labels, context).
        weights: weight of each term, above 0.
        compared: 'STUDENT:TEACHER' for each pair of compared layers, by section of the config.
    """

    def __init__(
        self,
        terms: Mapping[str, nn.Module],
        weights: Mapping[str, float],
        compared: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        assert terms.keys() == weights.keys()
        self.terms = nn.ModuleDict(terms)
        self.weights = dict(weights)
        self.compared = {section: list(pairs) for section, pairs in (compared or {}).items()}

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, context: StepContext
    ) -> dict[str, Tensor]:
        """Return the raw value of every term by name; `teacher` may be None if no term reads it."""
        return {
            name: _at_strength(term(student, teacher, labels, context), term, context.epoch)
            for name, term in self.terms.items()
        }

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum that is minimised."""
        return total(self.weights[name] * value for name, value in terms.items())

    def epoch_fits(self) -> list[EpochFit]:
        """Return fits of the terms that are fitted to the models before each epoch."""
        fits = [term.epoch_fit() for term in self._loss_terms().values()]
        return [fit for fit in fits if fit is not None]

    def numbers(self) -> dict[str, dict[str, float]]:
        """Return the terms' own numbers for the metrics of an epoch, by term."""
        found = {name: term.numbers() for name, term in self._loss_terms().items()}
        return {name: numbers for name, numbers in found.items() if numbers}

    def _loss_terms(self) -> dict[str, LossTerm]:
        return {name: term for name, term in self.terms.items() if isinstance(term, LossTerm)}


def fit_terms(fits: Sequence[EpochFit], batches: Iterable[tuple[Outputs, Outputs]]) -> None:
    """Fit terms to (student, teacher) outputs, in one pass over them.

    Raises:
        ValueError: an output is not finite.
    """
    for student, teacher in batches:
        for fit in fits:
            fit.update(student, teacher)
    for fit in fits:
        fit.finish()


def _at_strength(value: Tensor, term: nn.Module, epoch: int) -> Tensor:
    """Return the loss times the term's strength in the epoch."""
    strength = term.strength(epoch) if isinstance(term, LossTerm) else 1.0
    return value if strength == 1 else value * strength


def gradient_shares(
    objective: Objective,
    terms: Mapping[str, Tensor],
    parameters: Sequence[nn.Parameter],
    scale: float = 1.0,
) -> dict[str, float | None]:
    """Return each weighted term's share of the sum of gradient norms, from 0 to 1.

    All shares are None if a norm is not finite, such as after an overflow in fp16.

    Args:
        objective: source of the weights.
        terms: raw values; their graph is kept.
        parameters: parameters of the student.
        scale: loss scale that keeps small gradients above 0 in fp16.
    """
    norms = {
        name: float(_norm(_gradients(scale * objective.weights[name] * value, parameters)))
        for name, value in terms.items()
    }
    total = sum(norms.values())
    if not math.isfinite(total):
        return dict.fromkeys(norms)
    return {name: norm / total if total > 0 else 0.0 for name, norm in norms.items()}


def _gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Iterator[Tensor]:
    if not loss.requires_grad:
        return iter(())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return (gradient for gradient in found if gradient is not None)


def _norm(tensors: Iterator[Tensor]) -> Tensor:
    squares = [tensor.float().square().sum() for tensor in tensors]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())
