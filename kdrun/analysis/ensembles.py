"""Ensembles of models: arithmetic, geometric and logit means."""

from collections.abc import Sequence

from torch import Tensor

from kdrun.analysis.inputs import class_probabilities


def arithmetic_ensemble(probs_list: Sequence[Tensor]) -> Tensor:
    """Mean of the members' (N, K) probabilities, in float64 on the CPU."""
    members = _members(probs_list)
    return sum(members[1:], start=members[0]) / len(members)


def geometric_ensemble(probs_list: Sequence[Tensor]) -> Tensor:
    """Normalised geometric mean of the members' (N, K) probabilities, in float64 on the CPU.

    Equals the softmax of their mean logits. A class with probability 0 in one member stays 0;
    ValueError if a sample has no class left.
    """
    members = _members(probs_list)
    ensemble = logit_ensemble([probs.log() for probs in members])
    if lost := int(ensemble.isnan().any(dim=1).sum()):
        raise ValueError(
            f"members of a geometric ensemble rule out every class of {lost} of {len(ensemble)} "
            "samples together: one gives 0 wherever another does not"
        )
    return ensemble


def logit_ensemble(logits_list: Sequence[Tensor]) -> Tensor:
    """`geometric_ensemble` of the members' (N, K) logits, in float64.

    Defined for all finite logits, even if probabilities underflow to 0.
    """
    members = [logits.double() for logits in logits_list]
    return (sum(members[1:], start=members[0]) / len(members)).softmax(dim=1)


def _members(probs_list: Sequence[Tensor]) -> list[Tensor]:
    if not probs_list:
        raise ValueError("an ensemble needs at least one member, got none")
    for probs in probs_list[1:]:
        if probs.shape != probs_list[0].shape:
            shapes = [tuple(member.shape) for member in probs_list]
            raise ValueError(f"members of an ensemble differ in shape: {shapes}")
    return [class_probabilities("probs_list", probs) for probs in probs_list]
