"""Measures of hidden states and attention of two models."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.analysis import compare_attention, linear_cka, relation_similarity, unexplained_share
from kdrun.data.normalizer import Normalizer
from kdrun.features.extractor import FeatureExtractor
from kdrun.features.inspection import inspect_model
from kdrun.features.layer_pairs import match, stages
from kdrun.models.heads import PENULTIMATE
from kdrun.training.context import RunContext

IMAGES, BATCH = 2048, 128
MOST_ATTENTION = 20_000_000
"""Most entries of one layer's attention maps held in memory."""

MOST_LAYERS = 16


@dataclass(frozen=True)
class Opened:
    """A finished model under inspection."""

    name: str
    network: nn.Module
    normalizer: Normalizer


def inside_measures(student: Opened, teacher: Opened, start: Opened, context: RunContext) -> Any:
    """Compare layers and attention on the first test images; `start` is the untrained student."""
    example = next(iter(context.data.test.batches(2))).images
    ours, theirs = (
        inspect_model(m.name, m.network, m.normalizer(example)) for m in (student, teacher)
    )
    layers = [[*thinned(stages(seen.layers)), PENULTIMATE] for seen in (ours, theirs)]
    states = [hidden_states(m, p, context) for m, p in zip((student, teacher), layers, strict=True)]
    before = hidden_states(start, [PENULTIMATE], context)[PENULTIMATE]
    return {
        "images": len(before),
        "student_layers": layers[0],
        "teacher_layers": layers[1],
        "cka": [[linear_cka(states[0][s], states[1][t]) for t in layers[1]] for s in layers[0]],
        "matched": [
            matched_layers(s, t, states[0][s], states[1][t]) for s, t in matched_pairs(*layers)
        ],
        "relations_before": relation_similarity(before, states[1][PENULTIMATE]),
        "relations_after": relation_similarity(states[0][PENULTIMATE], states[1][PENULTIMATE]),
        "attention": [
            attention_of(student, teacher, s, t, context)
            for s, t in attention_pairs(ours.attention, theirs.attention)
        ],
    }


def matched_pairs(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of stages at the same relative depth, and the classifiers' inputs."""
    inner = [list(layers[:-1]) for layers in (ours, theirs)]
    return [*(match(*inner) if all(inner) else []), (PENULTIMATE, PENULTIMATE)]


def matched_layers(student: str, teacher: str, ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    """Similarity of two layers, and the share not explained by projecting the teacher's."""
    # With fewer samples any projection would fit.
    enough = len(theirs) >= 2 * theirs.shape[1]
    return {
        "student": student,
        "teacher": teacher,
        "cka": linear_cka(ours, theirs),
        "relations": relation_similarity(ours, theirs),
        "unexplained": unexplained_share(theirs, ours) if enough else None,
    }


def thinned(layers: Sequence[str], most: int = MOST_LAYERS) -> list[str]:
    """Select at most `most` evenly spaced layers, including the last."""
    step = -(-len(layers) // most) or 1
    return list(layers)[::-1][::step][::-1]


@torch.inference_mode()
def hidden_states(model: Opened, paths: Sequence[str], context: RunContext) -> dict[str, Tensor]:
    """Return the (n, width) float32 states of each layer on the CPU, averaged over positions.

    Computed in float32 in a run of any precision: rounding to bf16 changes 1 - R^2 by per cents.
    """
    observed = FeatureExtractor(model.network.eval(), hidden=paths)
    kept: dict[str, list[Tensor]] = {path: [] for path in paths}
    try:
        for batch in islice(context.data.test.batches(BATCH), IMAGES // BATCH):
            seen = observed(model.normalizer(batch.images))
            for path in paths:
                kept[path].append(averaged(seen.hidden[path].float()).cpu())
    finally:
        observed.close()
    return {path: torch.cat(parts).clone() for path, parts in kept.items()}


def averaged(hidden: Tensor) -> Tensor:
    """Average (N, d, H, W) maps, (N, L, d) tokens or (N, d) vectors to (N, d)."""
    if hidden.ndim == 4:
        return hidden.mean(dim=(2, 3))
    return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.flatten(1)


def attention_pairs(ours: Sequence[str], theirs: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Pairs of attention modules at the same relative depth; empty if a model has none."""
    return match(thinned(ours), list(theirs)) if ours and theirs else []


def attention_of(
    student: Opened, teacher: Opened, ours: str, theirs: str, context: RunContext
) -> dict[str, Any]:
    """Information of two layers' attention, their distance, and their mean maps."""
    maps = [
        attention_maps(model, path, context) for model, path in ((student, ours), (teacher, theirs))
    ]
    count = min(len(one) for one in maps)
    means = [one[:count].mean(dim=(0, 1)) for one in maps]
    comparable = maps[0].shape[-1] == maps[1].shape[-1]
    compared = compare_attention(maps[0][:count], maps[1][:count]) if comparable else None
    return {
        "student": ours,
        "teacher": theirs,
        "images": count,
        "information": None if compared is None else asdict(compared),
        "student_map": small(means[0]),
        "teacher_map": small(means[1]),
    }


@torch.inference_mode()
def attention_maps(model: Opened, path: str, context: RunContext) -> Tensor:
    """Return (n, heads, L, L) float32 maps of the first test images, as memory allows.

    Computed in float32 like the hidden states; rows of bf16 weights do not sum to 1.
    """
    observed = FeatureExtractor(model.network.eval(), attention=[path])
    kept: list[Tensor] = []
    held = 0
    try:
        for batch in context.data.test.batches(8):
            maps = observed(model.normalizer(batch.images)).attention[path]
            kept.append(maps.float().cpu())
            held += maps.numel()
            if held + maps.numel() > MOST_ATTENTION or 8 * len(kept) >= IMAGES:
                break
    finally:
        observed.close()
    return torch.cat(kept).clone()


def small(attention: Tensor, most: int = 32) -> list[list[float]]:
    """Average-pool an (L, L) map to at most `most` positions a side."""
    if len(attention) > most:
        attention = nn.functional.adaptive_avg_pool2d(attention[None], most)[0]
    return attention.tolist()
