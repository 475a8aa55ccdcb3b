"""Given weights: the tensors of a file that fit a model, adapted to it and loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from kdrun.errors import WeightsError, reason
from kdrun.models.heads import head_path
from kdrun.models.stems import fit_kernel
from kdrun.models.weights.choice import EXACT, UNFIT, Choice, choose
from kdrun.models.weights.content import AnyTensor
from kdrun.models.weights.safe_load import read_weights_file
from kdrun.models.weights.state_dict import (
    apply_state,
    missing_names,
    reshaped_names,
    tensors_of,
)

State = dict[str, Tensor]


@dataclass(frozen=True)
class Adaptation:
    """Permitted changes of tensors that fit a model by name but not in shape.

    Attributes:
        new_head: keep the model's own head where the file's is for other classes, or missing.
        stem: fit the first kernel to the model's stem and channels, as for weights by name.
        convert: conversion of a state by the model's library.
    """

    new_head: bool = False
    stem: bool = False
    convert: Callable[[State, nn.Module], State] | None = None


NONE = Adaptation()


def load_given(
    model: nn.Module,
    path: Path,
    *,
    source: str,
    key: str | None = None,
    adaptation: Adaptation = NONE,
) -> str | None:
    """Load the only tensors of a file that fit the model; return a line on what was done.

    Args:
        model: with the classes of the data; unchanged if an error is raised.
        path: of the file.
        source: name of the file in messages.
        key: of the tensors in the file, if several fit.
        adaptation: permitted changes.

    Returns:
        None if the file is a plain state dict of the model.

    Raises:
        WeightsError: a file that cannot be used, without tensors that fit or with several.
    """
    own: State = model.state_dict()
    head = head_path(model)
    file = read_weights_file(path)
    choice, others = choose(
        file, own, head, source, key, convertible=adaptation.convert is not None
    )
    state = tensors_of(file, _used(choice, own), source=source)
    notes = [] if choice.rank == EXACT else _adapt(model, state, adaptation)
    if choice.rank != EXACT and adaptation.new_head:
        notes += _keep_head(own, state, head)
    apply_state(model, state, source=source)
    return _line(source, choice, others, len(state), notes)


def _used(choice: Choice, own: Mapping[str, Tensor]) -> dict[str, Any]:
    """The entries that the model has; before a conversion, all that are tensors."""
    return {
        name: value
        for name, value in choice.match.entries.items()
        if name in own or (choice.rank == UNFIT and isinstance(value, AnyTensor))
    }


def _adapt(model: nn.Module, state: State, adaptation: Adaptation) -> list[str]:
    """Change the state in place; return what was done."""
    notes = []
    if adaptation.convert is not None:
        before = dict(state)
        state.clear()
        state.update(adaptation.convert(before, model))
        if any(state.get(name) is not tensor for name, tensor in before.items()):
            notes.append("tensors converted by timm")
    if adaptation.stem and (done := fit_kernel(model, state)) is not None:
        notes.append(done)
    if isinstance(model, VisionTransformer) and (done := fit_positions(model, state)) is not None:
        notes.append(done)
    return notes


def fit_positions(model: VisionTransformer, state: State) -> str | None:
    """Interpolate a vision transformer's position embeddings to the model's image size."""
    name = "encoder.pos_embedding"
    before = state.get(name)
    if before is None or before.shape == model.get_parameter(name).shape:
        return None
    try:
        fitted = interpolate_embeddings(model.image_size, model.patch_size, {name: before.float()})
    except ValueError as error:
        raise WeightsError(f"cannot interpolate {name}: {reason(error)}") from error
    state[name] = fitted[name]
    return f"position embeddings interpolated for images of {model.image_size}x{model.image_size}"


def _keep_head(own: State, state: State, head: str) -> list[str]:
    """Take the model's own values for a head of other classes, or without values in the file."""
    weight = f"{head}.weight"
    classes = own[weight].shape[0]
    reshaped = [
        name
        for name in reshaped_names(own, state)
        if own[name].shape[0] == classes and own[name].shape[1:] == state[name].shape[1:]
    ]
    missing = [name for name in missing_names(own, state) if name.startswith(f"{head}.")]
    if weight not in reshaped + missing:
        return []
    theirs = f"for {state[weight].shape[0]} classes" if weight in state else "missing"
    state |= {name: own[name] for name in reshaped + missing}
    return [f"its head is {theirs}, so a new one for {classes} is trained"]


def _line(
    source: str, choice: Choice, others: list[Choice], count: int, notes: list[str]
) -> str | None:
    """What was taken from the file, in one line."""
    match = choice.match
    removed = [*(f"{part}." for part in match.stripped), *[match.prefix] * bool(match.prefix)]
    where = f" under '{choice.path}'" if choice.path else ""
    words = [f"stripped {' and '.join(map(repr, removed))} from all names"] if removed else []
    words.append(f"{count} tensors{where} are used")
    if match.beyond:
        entries = "entry is" if match.beyond == 1 else "entries are"
        words.append(f"{match.beyond} other {entries} left out")
    if others:
        keys = ", ".join(one.key for one in others)
        words.append(f"'{keys}' fits as well: set weights_key={others[0].key} to use it")
    plain = len(words) == 1 and not where and not notes
    return None if plain else f"{source}: {'; '.join([*words, *notes])}"
