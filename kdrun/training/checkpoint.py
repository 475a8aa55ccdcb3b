"""Checkpoints that are whole or absent, verified before use, and loaded without executing code.

    checkpoints/update-000000120/{weights.safetensors, state.pt, manifest.json}
    checkpoints/best-000000080.safetensors

`weights.safetensors` holds the tensors of the student, the objective and the average; `state.pt`
the rest, as tensors and plain Python. The manifest, written last, has the checksum of each and of
the best weights so far, which are kept beside the checkpoints that know them.
"""

import contextlib
import io
import os
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from kdrun.errors import DamagedError, MisplacedError, WeightsError, reason
from kdrun.models.safe_load import check_unpacked_size
from kdrun.store.files import (
    cannot_write,
    check_files,
    file_entry,
    sync_folder,
    temporary_path,
    write_atomic,
    write_sealed,
)
from kdrun.store.folders import refuse_link, remove_file, rename
from kdrun.store.formats import MANIFEST as MANIFEST_SHAPE
from kdrun.store.regular_files import read_regular
from kdrun.store.shapes import read_shaped

MODEL, STATE, MANIFEST = "weights.safetensors", "state.pt", "manifest.json"
FORMAT = 1


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write a model's `weights_of` as safetensors, atomically."""
    write_atomic(path, save(weights))


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's state on the CPU, as safetensors takes it.

    Contiguous, and of tied weights one for each name. Not to be made in another thread than the
    one that trains: copying is parallel, and while two threads have teams of OpenMP, their threads
    go to sleep at every barrier, of which a step has hundreds.
    """
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }


def best_path(folder: Path, update: int) -> Path:
    """Where the best weights, those of the update, are kept while a stage is trained."""
    return folder / f"best-{update:09d}.safetensors"


def write_checkpoint(folder: Path, state: dict[str, Any], digest: str) -> Path:
    """Write `folder/update-N/`, complete and durable before it gets its name.

    Args:
        folder: the stage's `checkpoints`.
        state: of `training_state`.
        digest: the stage's hash, checked on loading.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    final = folder / f"update-{state['update']:09d}"
    temporary = temporary_path(final)
    rest = io.BytesIO()
    torch.save({name: value for name, value in state.items() if name != "models"}, rest)
    try:
        temporary.mkdir(parents=True)
        save_weights(temporary / MODEL, state["models"])
        write_atomic(temporary / STATE, rest.getvalue())
        files = {name: file_entry(temporary / name) for name in (MODEL, STATE)}
        manifest = {"format": FORMAT, "stage": digest, "update": state["update"], "files": files}
        if state["best"] is not None:
            best = best_path(folder, state["best"]["update"])
            manifest["best"] = {best.name: file_entry(best)}
        write_sealed(temporary / MANIFEST, manifest)
        remove(final)
        temporary.rename(final)
        sync_folder(folder)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """The stage's checkpoints, newest first."""
    return sorted(folder.glob("update-*"), reverse=True)


def prune(folder: Path, keep: int, best: Path | None) -> None:
    """Remove all but the newest checkpoints, and the best weights that none of those knows.

    Args:
        folder: the stage's `checkpoints`.
        keep: how many stay.
        best: the best weights so far, which stay.
    """
    kept, old = checkpoints(folder)[:keep], checkpoints(folder)[keep:]
    for path in old:
        remove(path)
    known = {name for path in kept for name in best_known(path)}
    for path in folder.glob("best-*.safetensors"):
        if path != best and path.name not in known:
            remove_file(path)


def remove(path: Path) -> None:
    """Remove a checkpoint if it is there; it loses its name first, so half of one is never seen."""
    doomed = temporary_path(path)
    with contextlib.suppress(OSError):
        path.rename(doomed)
        shutil.rmtree(doomed)


def best_known(path: Path) -> set[str]:
    """The best weights that a checkpoint knows; none where its manifest is damaged."""
    try:
        return set(read_shaped(path / MANIFEST, MANIFEST_SHAPE).get("best", {}))
    except DamagedError:
        return set()


def load_newest(folder: Path, digest: str) -> tuple[dict[str, Any] | None, list[Path]]:
    """The newest checkpoint that verifies, and the damaged ones, which are renamed.

    Raises:
        WeightsError: there are checkpoints, and none can be used; all stay as they are.
    """
    broken: list[Path] = []
    for path in checkpoints(folder):
        try:
            state = read_checkpoint(path, digest)
        except DamagedError as error:
            broken.append(path)
            last = error
        else:
            # Out of the way, lest it counts as one of those that are kept.
            return state, [rename(path, free_name(path)) for path in broken]
    if broken:
        raise WeightsError(
            f"{last}; no checkpoint is whole: remove {folder} to start the stage anew"
        )
    return None, []


def free_name(path: Path) -> Path:
    """Where a damaged checkpoint goes; an earlier one stays."""
    names = (f"damaged-{path.name}{f'-{n}' if n else ''}" for n in count())
    return next(one for name in names if not os.path.lexists(one := path.with_name(name)))


def read_checkpoint(path: Path, digest: str) -> dict[str, Any]:
    """The verified state of one checkpoint.

    Raises:
        DamagedError: it, or the best weights it knows, are not as they were written, or it is of
            another stage.
        WeightsError: it is of a newer kdrun, or asks to run code.
    """
    manifest = check_checkpoint(path)
    if manifest.get("format") != FORMAT:
        raise WeightsError(f"{path} has format {manifest.get('format')}, made by another kdrun")
    if manifest.get("stage") != digest:
        raise MisplacedError(f"{path} belongs to another stage")
    try:
        check_unpacked_size(path / STATE)
        state = torch.load(path / STATE, map_location="cpu", weights_only=True)
        return state | {"models": load(read_regular(path / MODEL))}
    # Whatever the bytes of a stranger's file happen to mean: UnpicklingError, KeyError, OSError...
    except Exception as error:
        told = reason(error)[:120]
        raise WeightsError(f"{path} is not a checkpoint of kdrun: {told}") from error


def check_checkpoint(path: Path) -> dict[str, Any]:
    """Compare every file of a checkpoint with its manifest, which is returned.

    Raises:
        DamagedError: one differs.
    """
    refuse_link(path)
    manifest = read_shaped(path / MANIFEST, MANIFEST_SHAPE)
    for name in (MODEL, STATE):
        if name not in manifest["files"]:
            raise DamagedError(f"{path / MANIFEST} is damaged: it does not list {name}")
    check_files(path, manifest["files"])
    check_files(path.parent, manifest.get("best", {}))
    return manifest
