"""Checkpoints that are whole or absent, verified before use, and loaded without executing code."""

import hashlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from kdrun.engine import Training
from kdrun.errors import OutputError, WeightsError
from kdrun.files import cannot_write, read_json, sync_folder, write_atomic, write_json

STATE, MANIFEST = "state.pt", "manifest.json"


def save_weights(path: Path, model: nn.Module) -> str:
    """Write the model's state as safetensors, atomically; returns its SHA-256."""
    content = save(_contiguous(model.state_dict()))
    write_atomic(path, content)
    return hashlib.sha256(content).hexdigest()


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses other layouts and tensors that share memory (tied weights).
    return {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}


def save_checkpoint(folder: Path, training: Training, digest: str, keep: int) -> Path:
    """Write `folder/update-N/`, complete and durable before it gets its name; keep the newest.

    Args:
        folder: the stage's `checkpoints`.
        training: what to save.
        digest: the stage's hash, checked on loading.
        keep: how many checkpoints stay.
    """
    buffer = io.BytesIO()
    torch.save(training_state(training), buffer)
    content = buffer.getvalue()
    final = folder / f"update-{training.update:09d}"
    temporary = folder / f".tmp-{os.getpid()}-{final.name}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write_atomic(temporary / STATE, content)
        manifest = {"format": 1, "stage": digest, "update": training.update}
        manifest |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        write_json(temporary / MANIFEST, manifest)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        sync_folder(folder)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in checkpoints(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """The stage's checkpoints, newest first."""
    return sorted(folder.glob("update-*"), reverse=True)


def load_newest(folder: Path, digest: str) -> tuple[dict[str, Any] | None, list[Path]]:
    """The newest checkpoint that verifies, and the damaged ones, which are renamed."""
    broken: list[Path] = []
    for path in checkpoints(folder):
        try:
            return read_checkpoint(path, digest), broken
        except (WeightsError, OutputError):
            # Out of the way, lest it counts as one of those that are kept.
            broken.append(path.rename(path.with_name(f"damaged-{path.name}")))
    return None, broken


def read_checkpoint(path: Path, digest: str) -> dict[str, Any]:
    """The verified state of one checkpoint.

    Raises:
        WeightsError: it is damaged, or of another stage.
    """
    manifest = read_json(path / MANIFEST)
    try:
        content = (path / STATE).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("stage") != digest:
        raise WeightsError(f"{path} belongs to another stage")
    if hashlib.sha256(content).hexdigest() != manifest.get("sha256"):
        raise WeightsError(f"{path} is damaged: its checksum differs")
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def training_state(training: Training) -> dict[str, Any]:
    """All that training changes, as tensors and plain Python."""
    average = training.average
    return {
        "student": training.student.state_dict(),
        "objective": training.objective.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "average": None if average is None else average.state_dict(),
        "totals": training.totals.sums,
        "epoch": training.epoch,
        "batch": training.batch,
        "update": training.update,
        "best": training.best,
        "shares": training.shares,
        "unexplained": training.unexplained,
        "history": training.history,
    }


def restore(training: Training, state: dict[str, Any]) -> None:
    """Put a state of `training_state` back."""
    training.student.load_state_dict(state["student"])
    training.objective.load_state_dict(state["objective"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.scaler.load_state_dict(state["scaler"])
    if training.average is not None:
        training.average.load_state_dict(state["average"])
    training.totals.sums.copy_(state["totals"])
    for name in ("epoch", "batch", "update", "best", "shares", "unexplained", "history"):
        setattr(training, name, state[name])
