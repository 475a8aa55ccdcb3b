"""The objective: a weighted sum of loss terms."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from kdrun.losses.hint import FittedHintTerm
from kdrun.losses.term import Outputs, StepContext


class Objective(nn.Module):
    """The sum over the terms of weight times loss; a term without weight is not there at all.

    Args:
        terms: modules called with (student, teacher, labels, moment), by name.
        weights: the weight of each, above 0.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        assert terms.keys() == weights.keys()
        self.terms = nn.ModuleDict(terms)
        self.weights = dict(weights)

    def forward(
        self, student: Outputs, teacher: Outputs | None, labels: Tensor, moment: StepContext
    ) -> dict[str, Tensor]:
        """The raw value of every term, by name; `teacher` may be None where no term needs it."""
        return {name: term(student, teacher, labels, moment) for name, term in self.terms.items()}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum that is minimised."""
        weighted = [self.weights[name] * value for name, value in terms.items()]
        return sum(weighted[1:], start=weighted[0])

    @property
    def fitted(self) -> FittedHintTerm | None:
        """The term that is fitted to the models at the start of each epoch."""
        terms = (term for term in self.terms.values() if isinstance(term, FittedHintTerm))
        return next(terms, None)

    def fit(self, batches: Iterable[tuple[Outputs, Outputs]]) -> float:
        """Fit that term to (student, teacher) outputs; returns its largest 1 - R^2."""
        assert self.fitted is not None
        return self.fitted.fit(batches)


def gradient_shares(
    objective: Objective,
    terms: Mapping[str, Tensor],
    parameters: Sequence[nn.Parameter],
    scale: float = 1.0,
) -> dict[str, float | None]:
    """Each weighted term's share of the sum of the terms' gradient norms, from 0 to 1.

    None, of all terms, where a norm is not finite, as of a gradient that overflows fp16.

    Args:
        objective: for the weights.
        terms: raw values whose graph is kept.
        parameters: of the student.
        scale: that keeps small gradients above 0 in fp16.
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
