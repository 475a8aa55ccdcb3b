"""Checkpoint schedule, and the thread that writes while training goes on."""

import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from kdrun.config.schema import EVERY
from kdrun.errors import OutputError
from kdrun.store.folders import make_folder, remove_leftovers
from kdrun.training import checkpoint, checkpoint_state
from kdrun.training.state import TrainState


class CheckpointSchedule:
    """Says when the next checkpoint is due: `10min`, `2epochs` or `500steps` after the last."""

    def __init__(self, every: str, training: TrainState) -> None:
        matched = re.fullmatch(EVERY, every)
        assert matched is not None
        self.least, self.unit = float(matched[1]), matched[2]
        self.last = self.now(training)

    def now(self, training: TrainState) -> float:
        """Where the training is, in the unit."""
        if self.unit == "min":
            return time.monotonic() / 60
        return training.epoch if self.unit == "epoch" else training.update

    def due(self, training: TrainState) -> bool:
        """Whether it is time; if so the next one counts from now."""
        now = self.now(training)
        if now - self.last < self.least or now == self.last:
            return False
        self.last = now
        return True


class CheckpointWriter:
    """Writes checkpoints and best weights in order in a thread; leaving the block waits for it.

    Training waits only for the copy to the CPU, and for the last write where that is not done.

    Raises:
        OutputError: from the next call on, where a file could not be written.
    """

    def __init__(self, folder: Path, digest: str, keep: int) -> None:
        self.folder = folder
        self.digest = digest
        self.keep = keep
        self.thread = ThreadPoolExecutor(1, "checkpoint")
        self.pending: list[Future[None]] = []

    def __enter__(self) -> "CheckpointWriter":
        make_folder(self.folder, self.folder.parent)
        remove_leftovers(self.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: object,
    ) -> None:
        self.thread.shutdown(wait=True)
        if error is None:
            self.wait()

    def wait(self) -> None:
        """Return when everything is on the disk."""
        while self.pending:
            self.pending.pop(0).result()

    def keep_best(self, model: nn.Module, update: int) -> None:
        """Write the best weights so far."""
        self.wait()
        weights = checkpoint.weights_of(model)
        self.pending.append(self.thread.submit(self._write_best, weights, update))

    def save(self, training: TrainState) -> None:
        """Write a checkpoint."""
        self.wait()
        state = checkpoint_state.training_state(training)
        self.pending.append(self.thread.submit(self._write, state))

    def _write_best(self, weights: dict[str, Tensor], update: int) -> None:
        path = checkpoint.best_path(self.folder, update)
        checkpoint.save_weights(path, weights)
        checkpoint.prune(self.folder, self.keep, path)

    def _write(self, state: dict[str, Any]) -> None:
        best = state["best"] and checkpoint.best_path(self.folder, state["best"]["update"])
        try:
            checkpoint.write_checkpoint(self.folder, state, self.digest)
        except OutputError:
            # Perhaps the disk is full: all but the newest make room for one more attempt.
            checkpoint.prune(self.folder, 1, best)
            checkpoint.write_checkpoint(self.folder, state, self.digest)
        checkpoint.prune(self.folder, self.keep, best)
