"""Names of tensors in a checkpoint, matched with those of a model."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Parts of a name that wrappers add: DataParallel and AveragedModel, torch.compile, FSDP, activation
# checkpoints.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")

# Spellings of torchvision's published files that its modules rename while loading.
_SPELLINGS = (
    (re.compile(r"\.(norm|conv)\.([12])\."), r".\1\2."),  # DenseNet
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),  # vision transformers
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)

# Heads that torchvision's files have and that only train the network.
_AUXILIARY = re.compile(r"(aux1|aux2|AuxLogits)\.")

_PREFIXES_TRIED = 12


@dataclass(frozen=True)
class Match:
    """The part of a mapping below one prefix, with the model's names.

    Attributes:
        prefix: removed from the names.
        entries: values by the model's names, and by any others below the prefix.
        stripped: parts of wrappers removed from the names.
        beyond: number of tensors outside of the prefix, or of auxiliary heads.
    """

    prefix: str
    entries: dict[str, Any]
    stripped: tuple[str, ...] = ()
    beyond: int = 0


def matches(mapping: Mapping[str, Any], own: Collection[str]) -> list[Match]:
    """Return the parts of the mapping with names of the model, most of them first."""
    cleaned, stripped = _without_wrappers(mapping, own)
    spellings = [pair for pair in _SPELLINGS if not any(map(pair[0].search, own))]
    spelled = {_spelled(name, spellings): value for name, value in cleaned.items()}
    votes = _prefixes(spelled, own)
    found = [_below(spelled, prefix, own, stripped) for prefix, _ in votes]
    return found or [Match("", dict(spelled), stripped)]


def _below(
    mapping: Mapping[str, Any], prefix: str, own: Collection[str], stripped: tuple[str, ...]
) -> Match:
    inside = {k.removeprefix(prefix): v for k, v in mapping.items() if k.startswith(prefix)}
    kept = {k: v for k, v in inside.items() if k in own or not _AUXILIARY.match(k)}
    return Match(prefix, kept, stripped, len(mapping) - len(kept))


def _prefixes(names: Iterable[str], own: Collection[str]) -> list[tuple[str, int]]:
    """Prefixes below which names of the model are found, the commonest first."""
    votes: Counter[str] = Counter()
    for name in names:
        if name in own:
            votes[""] += 1
        for dot in re.finditer(r"\.", name):
            if name[dot.end() :] in own:
                votes[name[: dot.end()]] += 1
    return votes.most_common(_PREFIXES_TRIED)


def _without_wrappers(
    mapping: Mapping[str, Any], own: Collection[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Names without the parts of wrappers, if these are not of the model and names stay unique."""
    of_model = {part for name in own for part in name.split(".")}
    parts = [part for part in _WRAPPERS if part not in of_model]
    found = tuple(p for p in parts if any(p in name.split(".") for name in mapping))
    cleaned = {
        ".".join(part for part in name.split(".") if part not in found): value
        for name, value in mapping.items()
    }
    return (cleaned, found) if len(cleaned) == len(mapping) else (dict(mapping), ())


def _spelled(name: str, spellings: Iterable[tuple[re.Pattern[str], str]]) -> str:
    for pattern, replacement in spellings:
        name = pattern.sub(replacement, name)
    return name


def unwrapped(key: str) -> str:
    """A path of keys without the parts of wrappers."""
    return ".".join(part for part in key.split(".") if part and part not in _WRAPPERS)
