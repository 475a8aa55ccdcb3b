"""Proper scores of probabilities against labels; lower is better."""

from torch import Tensor

from kdrun.analysis.inputs import class_indices, class_probabilities


def negative_log_likelihood(probs: Tensor, labels: Tensor) -> float:
    """Mean negative log probability of the label in nats; inf if one is 0. (N, K), (N,) indices."""
    rows = class_probabilities("probs", probs)
    return -label_probabilities(rows, labels).log().mean().item()


def brier_score(probs: Tensor, labels: Tensor) -> float:
    """Mean over samples of the squared distance to the one-hot label, in [0, 2] (Brier, 1950)."""
    rows = class_probabilities("probs", probs)
    target = class_indices(labels, rows)[:, None]
    chosen = rows.gather(1, target).squeeze(1)
    others = rows.scatter(1, target, 0.0)
    return ((1 - chosen).square() + others.square().sum(dim=1)).mean().item()


def gibbs_error(rows: Tensor, labels: Tensor) -> float:
    """Mean probability that a class drawn from the (N, K) distributions is not the label."""
    return 1 - label_probabilities(rows, labels).mean().item()


def argmax_error(rows: Tensor, labels: Tensor) -> float:
    """Share of (N, K) distributions with a predicted class other than the label."""
    return (rows.argmax(dim=1) != class_indices(labels, rows)).double().mean().item()


def label_probabilities(rows: Tensor, labels: Tensor) -> Tensor:
    """The (N,) probabilities of the labels in the (N, K) distributions."""
    return rows.gather(1, class_indices(labels, rows)[:, None]).squeeze(1)
