"""Choice of the tensors in a checkpoint that fit a model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdrun.errors import WeightsError, some_of
from kdrun.models.weights.content import described_keys, tensor_mappings
from kdrun.models.weights.names import Match, matches, unwrapped
from kdrun.models.weights.safe_load import WeightsFile, module_in, whole_module
from kdrun.models.weights.state_dict import (
    UNREADABLE,
    check_fit,
    missing_names,
    no_state_dict,
    reshaped_names,
    unexpected_names,
    within,
)
from kdrun.models.weights.stored_tensors import StoredTensor

_AVERAGE = re.compile(r"(^|[._])(ema|average|averaged|swa)([._]|$)")

EXACT, RESHAPED, HEADLESS, UNFIT = range(4)
"""Ranks of a choice: fits; fits by name; fits except for the head; does not fit."""


@dataclass(frozen=True)
class Choice:
    """Tensors of a checkpoint for a model.

    Attributes:
        path: keys of their mapping in the file; "" for the file itself.
        match: their names.
        rank: how well they fit.
    """

    path: str
    match: Match
    rank: int

    @property
    def key(self) -> str:
        """The value of `weights_key` that selects them; "" for those of the file itself."""
        return ".".join(part for part in (self.path, self.match.prefix.rstrip(".")) if part)

    @property
    def is_average(self) -> bool:
        """Whether their key says that they are averaged weights."""
        return bool(_AVERAGE.search(self.key))


def choose(
    file: WeightsFile,
    own: Mapping[str, Tensor],
    head: str,
    source: str,
    key: str | None,
    *,
    convertible: bool = False,
) -> tuple[Choice, list[Choice]]:
    """Return the tensors that fit best, and others that fit as well.

    Args:
        file: the checkpoint.
        own: the model's state.
        head: path of the model's head.
        source: name of the file in messages.
        key: the only key, or prefix, to consider; None: all.
        convertible: whether tensors that do not fit are returned, for a conversion.

    Raises:
        WeightsError: nothing fits, or several do.
    """
    mappings = tensor_mappings(file.content)
    _check_any(file, mappings)
    choices = [
        Choice(path, match, _rank(match, own, head))
        for path, mapping in mappings.items()
        for match in matches(mapping, own)
    ]
    named = [one for one in choices if key is None or _is_named(one, key)]
    if not named:
        raise WeightsError(
            f"{source} has no tensors under weights_key={key}: there are "
            f"{described_keys(file.content, mappings)}"
        )
    rank = min(one.rank for one in named)
    if rank == UNFIT:
        nearest = max(named, key=lambda one: len(one.match.entries.keys() & own.keys()))
        if convertible:
            return nearest, []
        holds = described_keys(file.content, mappings) if set(mappings) - {""} else ""
        raise _unfit(nearest, own, head, source, f"; it holds {holds}" if holds else "")
    best = _distinct(file, [one for one in named if one.rank == rank])
    return _preferred(best, source)


def _preferred(best: list[Choice], source: str) -> tuple[Choice, list[Choice]]:
    """Weights before their averages; of several an error."""
    plain = [one for one in best if not one.is_average] or best
    if len(plain) > 1:
        keys = some_of([one.key or "the file itself" for one in plain])
        raise WeightsError(
            f"{source} has several sets of tensors that fit ({keys}): choose one by weights_key="
        )
    return plain[0], [one for one in best if one is not plain[0]]


def _check_any(file: WeightsFile, mappings: Mapping[str, Any]) -> None:
    where = str(file.path.absolute())
    if mappings:
        return
    if (module := module_in(file.content)) is not None:
        raise WeightsError(whole_module(where, module))
    raise WeightsError(no_state_dict(file.path, described_keys(file.content, {})))


def _rank(match: Match, own: Mapping[str, Tensor], head: str) -> int:
    missing = missing_names(own, match.entries)
    if unexpected_names(own, match.entries):
        return UNFIT
    if missing:
        only_head = all(name.rpartition(".")[0] == head for name in missing)
        return HEADLESS if only_head and len(match.entries) > len(missing) else UNFIT
    return RESHAPED if reshaped_names(own, match.entries) else EXACT


def _is_named(choice: Choice, key: str) -> bool:
    names = {choice.path, choice.key, choice.match.prefix.rstrip(".")}
    return key in names or unwrapped(key) in {unwrapped(name) for name in names} - {""}


def _unfit(
    nearest: Choice, own: Mapping[str, Tensor], head: str, source: str, holds: str
) -> WeightsError:
    """The error for the tensors with most names of the model."""
    try:
        check_fit(own, nearest.match.entries, source, head, holds)
    except WeightsError as error:
        return error
    raise AssertionError("tensors that fit were taken for some that do not")


def _distinct(file: WeightsFile, choices: list[Choice]) -> list[Choice]:
    """The choices, of equal tensors only the first."""
    kept: list[Choice] = []
    for one in choices:
        if not any(_equal(file, one.match.entries, other.match.entries) for other in kept):
            kept.append(one)
    return kept


def _equal(file: WeightsFile, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    if ours.keys() != theirs.keys():
        return False
    pairs = ((value, theirs[name]) for name, value in ours.items())
    return all(one is other or _equal_tensors(file, one, other) for one, other in pairs)


def _equal_tensors(file: WeightsFile, one: Any, other: Any) -> bool:
    usable = Tensor | StoredTensor
    if not isinstance(one, usable) or not isinstance(other, usable):
        return False
    if tuple(one.shape) != tuple(other.shape) or one.dtype != other.dtype:
        return False
    if not within(file, one) or not within(file, other):
        return False
    try:
        return torch.equal(file.tensor(one), file.tensor(other))
    except UNREADABLE:  # reported when it is used
        return False
