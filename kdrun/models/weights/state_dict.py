"""State dicts: checks of their tensors, and copying into a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.errors import WeightsError
from kdrun.models.heads import head_path
from kdrun.models.weights.content import AnyTensor, kind_of
from kdrun.models.weights.described import PickleError
from kdrun.models.weights.safe_load import WeightsFile, read_weights_file
from kdrun.models.weights.stored_tensors import OddTensor, StoredTensor

_NAMES_SHOWN = 3

UNREADABLE = (PickleError, RuntimeError, TypeError, OverflowError)
"""Errors of reading a tensor whose place or shape in the file is damaged."""


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that holds nothing else, by name.

    Raises:
        WeightsError: a file that is missing, damaged, unsafe, without a state dict, or not finite.
    """
    file = read_weights_file(path)
    entries = file.content if isinstance(file.content, dict) else {}
    if not entries or not all(isinstance(value, AnyTensor) for value in entries.values()):
        raise WeightsError(no_state_dict(path))
    return tensors_of(file, entries, source=str(path.absolute()))


def no_state_dict(path: Path, keys: str = "") -> str:
    """The message that refuses a file without a state dict; `keys` are those it has."""
    return (
        f"{path.absolute()} holds no state dict: save one with torch.save(model.state_dict(), "
        f"path) or as safetensors{f'; it holds {keys}' if keys else ''}"
    )


def tensors_of(file: WeightsFile, entries: Mapping[str, Any], *, source: str) -> dict[str, Tensor]:
    """The entries' values, checked to be within the file and finite; errors name the `source`.

    Raises:
        WeightsError: an entry is no usable tensor; names it.
    """
    state = {}
    for name, value in entries.items():
        if not isinstance(value, Tensor | StoredTensor):
            raise WeightsError(f"{source}: {name} is {kind_of(value)}")
        _check_size(name, value, file.path)
        try:
            state[name] = file.tensor(value)
        except UNREADABLE as error:
            raise WeightsError(
                f"not a readable checkpoint: {file.path.absolute()}: {name}: {error}; fetch or "
                "save it again"
            ) from error
    check_finite(state, source=source)
    return state


def _check_size(name: str, value: Tensor | StoredTensor, path: Path) -> None:
    """Refuse a tensor larger than the file, before its data is read or copied."""
    size, declared = path.stat().st_size, _declared(value)
    if declared > size:
        raise WeightsError(
            f"not a readable checkpoint: {path.absolute()} ({size} bytes) declares {declared} "
            f"bytes for {name}: fetch or save it again"
        )


def within(file: WeightsFile, value: Tensor | StoredTensor) -> bool:
    """Whether the tensor is no larger than the file."""
    return _declared(value) <= file.path.stat().st_size


def _declared(value: Tensor | StoredTensor) -> int:
    return value.nbytes if isinstance(value, Tensor) else value.declared_bytes


def check_finite(state: Mapping[str, Tensor], *, source: str) -> None:
    """Raise WeightsError naming the first tensor with an infinite or NaN value."""
    for name, tensor in state.items():
        # Types of 8 bits have no isfinite.
        small = tensor.is_floating_point() and tensor.dtype.itemsize == 1
        if not torch.isfinite(tensor.float() if small else tensor).all():
            raise WeightsError(f"{source} has non-finite values in {name}: use another checkpoint")


def apply_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy a state dict into the model, all or nothing; errors name its `source`.

    BatchNorm's batch counters may be missing, as in old checkpoints.

    Raises:
        WeightsError: missing or unexpected names, other shapes, another number of classes, whole
            numbers in place of weights.
    """
    own: dict[str, Tensor] = model.state_dict()
    check_fit(own, state, source, head_path(model))
    _check_types(own, state, source)
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def _check_types(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    for name, tensor in state.items():
        if own[name].is_floating_point() and not tensor.is_floating_point():
            raise WeightsError(
                f"{source}: {name} is of {str(tensor.dtype).removeprefix('torch.')}, not of "
                "floating-point numbers: give the weights before quantisation or conversion"
            )


def missing_names(own: Mapping[str, Any], names: Mapping[str, Any]) -> list[str]:
    """The model's names that are not there, except for BatchNorm's counters."""
    return [k for k in own if k not in names and not k.endswith(".num_batches_tracked")]


def unexpected_names(own: Mapping[str, Any], entries: Mapping[str, Any]) -> list[str]:
    """Names of tensors that the model does not have, except for scalars such as `n_averaged`."""
    return [
        name
        for name, value in entries.items()
        if name not in own
        and isinstance(value, AnyTensor)
        and not ("." not in name and len(value.shape) == 0 and not isinstance(value, OddTensor))
    ]


def reshaped_names(own: Mapping[str, Tensor], entries: Mapping[str, Any]) -> list[str]:
    """Names of tensors of another shape than the model's."""
    return [
        name
        for name in own
        if isinstance(entries.get(name), Tensor | StoredTensor)
        and tuple(own[name].shape) != tuple(entries[name].shape)
    ]


def check_fit(
    own: Mapping[str, Tensor], state: Mapping[str, Any], source: str, head: str, hint: str = ""
) -> None:
    """Check names and shapes.

    Raises:
        WeightsError: they differ; counts and names the differences, and ends in the hint.
    """
    reshaped = reshaped_names(own, state)
    weight = f"{head}.weight"
    if weight in reshaped and own[weight].shape[1:] == state[weight].shape[1:]:
        raise WeightsError(
            f"{source} has a head for {state[weight].shape[0]} classes, the data set has "
            f"{len(own[weight])} ({weight} is {_shape(state[weight])}): use weights for its "
            "classes, or train a teacher from them: student.weights=FILE loss=none, then "
            "teacher.weights=RUN_FOLDER"
        )
    shapes = [f"{k} is {_shape(state[k])}, not {_shape(own[k])}" for k in reshaped]
    faults = {
        "missing": missing_names(own, state),
        "unexpected": unexpected_names(own, state),
        "of another shape": shapes,
    }
    listed = [_listed(what, names) for what, names in faults.items() if names]
    if listed:
        raise WeightsError(
            f"{source} does not fit the model: {', '.join(listed)}: "
            f"is it of another architecture, stem or image size?{hint}"
        )


def _listed(what: str, names: list[str]) -> str:
    """A count with the first names: `5 missing (a, b, c, ...)`."""
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_NAMES_SHOWN])}{more})"


def _shape(tensor: Any) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
