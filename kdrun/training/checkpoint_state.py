"""Conversion of the training state to checkpoint content and back."""

from typing import Any

from torch import Tensor, nn

from kdrun.errors import WeightsError, reason
from kdrun.training.checkpoint import weights_of
from kdrun.training.state import TrainState

_POSITION = ("epoch", "batch", "update", "skipped")
_RECORDS = ("seconds", "best", "shares", "history")


def training_state(training: TrainState) -> dict[str, Any]:
    """Return a copy on the CPU of the training state, as tensors and plain Python."""
    models: dict[str, nn.Module] = {"student": training.student, "objective": training.objective}
    if training.average is not None:
        models["average"] = training.average
    weights = {
        f"{name}.{key}": value
        for name, model in models.items()
        for key, value in weights_of(model).items()
    }
    state = {
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "totals": training.totals.sums,
    }
    state |= {name: getattr(training, name) for name in _POSITION + _RECORDS}
    return {"models": weights} | copied(state)


def copied(value: Any) -> Any:
    """Return a deep copy of nested dicts, lists and tensors, with tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return value


def restore(training: TrainState, state: dict[str, Any]) -> None:
    """Restore a state of `training_state`.

    Raises:
        WeightsError: the state does not fit the stage.
    """
    try:
        _part(training.student, state, "student")
        _part(training.objective, state, "objective")
        if training.average is not None:
            _part(training.average, state, "average")
        training.optimizer.load_state_dict(state["optimizer"])
        training.scaler.load_state_dict(state["scaler"])
        training.totals.sums.copy_(state["totals"])
        if not all(type(state[name]) is int and state[name] >= 0 for name in _POSITION):
            raise ValueError("its position is not a number")
        for name in _POSITION + _RECORDS:
            setattr(training, name, state[name])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        message = reason(error)[:120]
        raise WeightsError(f"the checkpoint does not fit the stage: {message}") from error


def _part(model: nn.Module, state: dict[str, Any], name: str) -> None:
    prefix = f"{name}."
    tensors = state["models"].items()
    model.load_state_dict({k[len(prefix) :]: v for k, v in tensors if k.startswith(prefix)})
