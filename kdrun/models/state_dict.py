"""State dicts: reading from a weights file, checks, loading into a model."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from kdrun.errors import WeightsError
from kdrun.models.heads import head_path
from kdrun.models.safe_load import file_sha256, read_weights_file

__all__ = ["apply_state", "check_finite", "file_sha256", "load_state"]

_log = logging.getLogger(__name__)

# Keys of the state dict in the checkpoints of common training codes.
_CONTAINERS = ("state_dict", "model_state_dict", "model", "student", "net")

# Prefixes of DataParallel, torch.compile and wrapping modules.
_PREFIXES = ("module.", "_orig_mod.", "model.")

_NAMES_SHOWN = 3


def load_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a weights file: parameter and buffer names -> tensors on the CPU.

    Unwraps the containers of common training codes, and strips known prefixes shared by all names.

    Raises:
        WeightsError: a file that is missing, damaged, unsafe, without a state dict, or not finite.
    """
    content = read_weights_file(path)
    state = _find_state(content)
    if state is None:
        raise WeightsError(
            f"{path.absolute()} holds no state dict: save one with "
            "torch.save(model.state_dict(), path) or as safetensors"
        )
    _check_sizes(state, path)
    check_finite(state, source=str(path.absolute()))
    return _without_prefixes(state, path)


def check_finite(state: Mapping[str, Tensor], *, source: str) -> None:
    """Raise WeightsError naming the first tensor with an infinite or NaN value."""
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{source} has non-finite values in {name}: use another checkpoint")


def apply_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy a state dict into the model, all or nothing; errors name its `source`.

    BatchNorm's batch counters may be missing, as in old checkpoints.

    Raises:
        WeightsError: missing or unexpected names, other shapes, another number of classes.
    """
    own: dict[str, Tensor] = model.state_dict()
    _check_fit(own, state, source, head_path(model))
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def _find_state(content: object) -> dict[str, Tensor] | None:
    """The innermost non-empty dict of tensors, looking only into known containers."""
    while isinstance(content, Mapping):
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return dict(content)
        content = next((content[name] for name in _CONTAINERS if name in content), None)
    return None


def _check_sizes(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors larger than the file, before their data is read or copied."""
    size = path.stat().st_size
    for name, tensor in state.items():
        declared = tensor.numel() * tensor.element_size()
        if declared > size or tensor.is_meta:
            raise WeightsError(
                f"not a readable checkpoint: {path.absolute()} ({size} bytes) declares {declared} "
                f"bytes for {name}: fetch or save it again"
            )


def _without_prefixes(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None):
        _log.info("%s: stripped '%s' from all names", path, prefix)
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _check_fit(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str, head: str
) -> None:
    missing = [k for k in own if k not in state and not k.endswith(".num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    reshaped = [k for k in own if k in state and own[k].shape != state[k].shape]
    weight = f"{head}.weight"
    if weight in reshaped and own[weight].shape[1:] == state[weight].shape[1:]:
        raise WeightsError(
            f"{source} has a head for {len(state[weight])} classes, the data set has "
            f"{len(own[weight])} ({weight} is {_shape(state[weight])}): use weights for its classes"
        )
    shapes = [f"{k} is {_shape(state[k])}, not {_shape(own[k])}" for k in reshaped]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    listed = [_listed(what, names) for what, names in faults.items() if names]
    if listed:
        raise WeightsError(
            f"{source} does not fit the model: {', '.join(listed)}: "
            "is it of another architecture, stem or image size?"
        )


def _listed(what: str, names: list[str]) -> str:
    """A count with the first names: `5 missing (a, b, c, ...)`."""
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_NAMES_SHOWN])}{more})"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
