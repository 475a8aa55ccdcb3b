"""Mistakes that kdrun could make, each of which the crash matrix must notice.

Left out is a missing fsync: what a killed process has written is in the kernel's hands and is never
lost; only a power failure would tell.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kdrun.runs import runner
from kdrun.store import files
from kdrun.training import checkpoint, checkpoint_state, loop, run_stage


def files_written_in_place() -> None:
    """A file has its name before it has its content."""

    def in_place(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    files.write_atomic = checkpoint.write_atomic = run_stage.write_atomic = in_place


def checkpoint_written_in_place() -> None:
    """A checkpoint's folder has its name before it is whole."""

    def in_place(folder: Path, state: dict[str, Any], digest: str) -> Path:
        final = folder / f"update-{state['update']:09d}"
        final.mkdir(exist_ok=True)
        rest = io.BytesIO()
        torch.save({k: v for k, v in state.items() if k != "models"}, rest)
        checkpoint.save_weights(final / checkpoint.MODEL, state["models"])
        files.write_atomic(final / checkpoint.STATE, rest.getvalue())
        names = (checkpoint.MODEL, checkpoint.STATE)
        manifest = {"format": 1, "stage": digest, "update": state["update"]}
        manifest["files"] = {name: files.file_entry(final / name) for name in names}
        if state["best"] is not None:
            best = checkpoint.best_path(folder, state["best"]["update"])
            manifest["best"] = {best.name: files.file_entry(best)}
        files.write_sealed(final / checkpoint.MANIFEST, manifest)
        return final

    checkpoint.write_checkpoint = in_place


def no_reseed() -> None:
    """Dropout draws from wherever the generator happens to be."""
    loop.seed_generators = lambda seed, device: None


def rate_from_the_start_of_the_process() -> None:
    """The learning rate counts the updates of this process, not those of the training."""
    real, counted = loop.set_learning_rate, {}

    def apply(training: loop.TrainState, settings: loop.LoopSettings) -> None:
        number = counted.setdefault(id(settings), 0)
        counted[id(settings)] += 1
        rate = settings.learning_rate(number)
        loop.set_learning_rate = lambda optimizer, lr: real(optimizer, rate)
        whole(training, settings)

    whole = loop.apply_update
    loop.apply_update = apply


def rate_one_update_behind_after_a_resume() -> None:
    """The position is saved before the update it belongs to is counted."""
    real = checkpoint_state.training_state

    def early(training: loop.TrainState) -> dict[str, Any]:
        state = real(training)
        return state | {"update": max(0, state["update"] - 1)}

    checkpoint_state.training_state = early


def without_part(name: str) -> Callable[[], None]:
    """The state of a part of training is not put back."""

    def forget() -> None:
        real = checkpoint_state._part

        def part(model: torch.nn.Module, state: dict[str, Any], which: str) -> None:
            if which != name:
                real(model, state, which)

        checkpoint_state._part = part

    return forget


def optimizer_forgotten() -> None:
    """Momentum starts anew."""
    real = checkpoint_state.restore

    def restore(training: loop.TrainState, state: dict[str, Any]) -> None:
        fresh = training.optimizer.state_dict()
        real(training, state | {"optimizer": fresh})

    checkpoint_state.restore = restore


def sums_forgotten() -> None:
    """The epoch's sums start anew in its middle."""
    real = checkpoint_state.restore

    def restore(training: loop.TrainState, state: dict[str, Any]) -> None:
        real(training, state)
        training.totals.sums.zero_()

    checkpoint_state.restore = restore


def lines_repeated() -> None:
    """Metrics of the part before the kill stay, and are written again."""
    real = runner.write_json_lines

    def keep(path: Path, lines: list[dict[str, Any]]) -> None:
        if not path.exists():
            real(path, lines)

    runner.write_json_lines = keep


MUTATIONS: dict[str, Callable[[], None]] = {
    "files-in-place": files_written_in_place,
    "checkpoint-in-place": checkpoint_written_in_place,
    "no-reseed": no_reseed,
    "rate-of-process": rate_from_the_start_of_the_process,
    "rate-behind": rate_one_update_behind_after_a_resume,
    "no-objective": without_part("objective"),
    "no-average": without_part("average"),
    "no-optimizer": optimizer_forgotten,
    "no-sums": sums_forgotten,
    "lines-repeated": lines_repeated,
}
