"""Atomic checkpoints, verified before use and loaded without executing code.

    checkpoints/update-000000120/{weights.safetensors, state.pt, manifest.json}
    checkpoints/best-000000080.safetensors

`weights.safetensors` holds the tensors of the student, the objective and the average; `state.pt`
the rest, as tensors and plain Python. The manifest, written last, has the checksums of both and of
the best weights so far, which are kept next to the checkpoints that refer to them.
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
from kdrun.models.weights.safe_load import check_unpacked_size
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
    """Return a copy of the model's state on the CPU, in the form for safetensors.

    Tensors are contiguous; tied weights have a copy per name. Call this in the training thread
    only: copying is parallel, and with two OpenMP teams in a process the threads sleep at every
    barrier, and a step has hundreds of barriers.
    """
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }


def best_path(folder: Path, update: int) -> Path:
    """Return the path of the best weights, from the given update, during training."""
    return folder / f"best-{update:09d}.safetensors"


def write_checkpoint(folder: Path, state: dict[str, Any], digest: str) -> Path:
    """Write `folder/update-N/`, complete and durable before the final rename.

    Args:
        folder: folder `checkpoints` of the stage.
        state: result of `training_state`.
        digest: hash of the stage, checked on loading.

    Raises:
        OutputError: the checkpoint cannot be written; earlier ones stay.
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
    """Return the stage's checkpoints, newest first."""
    return sorted(folder.glob("update-*"), reverse=True)


def prune(folder: Path, keep: int, best: Path | None) -> None:
    """Remove all but the newest checkpoints, and best weights without a checkpoint.

    Args:
        folder: folder `checkpoints` of the stage.
        keep: number of checkpoints to keep.
        best: best weights so far, kept as well.
    """
    kept, old = checkpoints(folder)[:keep], checkpoints(folder)[keep:]
    for path in old:
        remove(path)
    known = {name for path in kept for name in best_known(path)}
    for path in folder.glob("best-*.safetensors"):
        if path != best and path.name not in known:
            remove_file(path)


def remove(path: Path) -> None:
    """Remove a checkpoint if present; rename first, so that no partial one is ever visible."""
    doomed = temporary_path(path)
    with contextlib.suppress(OSError):
        path.rename(doomed)
        shutil.rmtree(doomed)


def best_known(path: Path) -> set[str]:
    """Return the best weights in a checkpoint's manifest; empty if the manifest is damaged."""
    try:
        return set(read_shaped(path / MANIFEST, MANIFEST_SHAPE).get("best", {}))
    except DamagedError:
        return set()


def load_newest(folder: Path, digest: str) -> tuple[dict[str, Any] | None, list[Path]]:
    """Load the newest intact checkpoint; rename damaged ones and return their paths.

    Raises:
        WeightsError: no checkpoint can be used; all stay unchanged.
    """
    broken: list[Path] = []
    for path in checkpoints(folder):
        try:
            state = read_checkpoint(path, digest)
        except DamagedError as error:
            broken.append(path)
            last = error
        else:
            # Renamed so that they are not counted among the kept ones.
            return state, [rename(path, free_name(path)) for path in broken]
    if broken:
        raise WeightsError(
            f"{last}; no checkpoint is intact: remove {folder} to start the stage again"
        )
    return None, []


def free_name(path: Path) -> Path:
    """Return an unused path for a damaged checkpoint."""
    names = (f"damaged-{path.name}{f'-{n}' if n else ''}" for n in count())
    return next(one for name in names if not os.path.lexists(one := path.with_name(name)))


def read_checkpoint(path: Path, digest: str) -> dict[str, Any]:
    """Return the verified state of a checkpoint.

    Raises:
        DamagedError: the checkpoint or its best weights fail their checksum, or it belongs to
            another stage.
        WeightsError: the checkpoint is of a newer kdrun, or would execute code.
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
    # A stranger's file can raise anything: UnpicklingError, KeyError, OSError...
    except Exception as error:
        message = reason(error)[:120]
        raise WeightsError(f"{path} is not a checkpoint of kdrun: {message}") from error


def check_checkpoint(path: Path) -> dict[str, Any]:
    """Check every file of a checkpoint against its manifest; return the manifest.

    Raises:
        DamagedError: a file differs.
    """
    refuse_link(path)
    manifest = read_shaped(path / MANIFEST, MANIFEST_SHAPE)
    for name in (MODEL, STATE):
        if name not in manifest["files"]:
            raise DamagedError(f"{path / MANIFEST} is damaged: it does not list {name}")
    check_files(path, manifest["files"])
    check_files(path.parent, manifest.get("best", {}))
    return manifest
