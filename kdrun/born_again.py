"""Born-again networks (Furlanello et al., 2018): when another generation pays, and ensembles."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from kdrun.analysis.inputs import class_probabilities
from kdrun.gains import PairedGain, paired_gain


def generation_gains(accuracies: Sequence[Sequence[float]], images: int) -> list[PairedGain]:
    """What each generation gained over the one that taught it; `accuracies[generation][seed]`.

    `images` is how many each accuracy was measured on, for the error of a single seed.
    """
    return [paired_gain(later, earlier, images) for earlier, later in pairwise(accuracies)]


def stop_early(accuracies: Sequence[Sequence[float]], images: int) -> bool:
    """Whether the newest generation gained no more than noise, so that no other should follow.

    Arguments as of `generation_gains`; the accuracies are of validation, because they decide.
    Noise is one standard error of the paired difference over the seeds, or of the sample of
    images where there is one seed. Generation 0 alone is no reason to stop.
    """
    if len(accuracies) < 2:
        return False
    return not paired_gain(accuracies[-1], accuracies[-2], images).exceeds_error


def is_monotone(accuracies: Sequence[float]) -> bool:
    """Whether no generation is worse than the one before it: to be reported, never assumed."""
    return all(earlier <= later for earlier, later in pairwise(accuracies))


def arithmetic_ensemble(probs_list: Sequence[Tensor]) -> Tensor:
    """Mean of the members' (N, K) probabilities, in float64 on the CPU."""
    members = _members(probs_list)
    return sum(members[1:], start=members[0]) / len(members)


def geometric_ensemble(probs_list: Sequence[Tensor]) -> Tensor:
    """Normalised geometric mean of the members' (N, K) probabilities, in float64 on the CPU.

    That is softmax of the mean of their logits. A class that one member rules out is ruled out;
    ValueError where this leaves a sample without any.
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

    It is defined for all finite logits, also for those so far apart that probabilities are 0.
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
