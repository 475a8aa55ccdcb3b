"""Checkpoint schedule, and a thread that writes checkpoints during training."""

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
    """Schedule of checkpoints: one `10min`, `2epochs` or `500steps` after another."""

    def __init__(self, every: str, training: TrainState) -> None:
        matched = re.fullmatch(EVERY, every)
        assert matched is not None
        self.least, self.unit = float(matched[1]), matched[2]
        self.last = self.now(training)

    def now(self, training: TrainState) -> float:
        """Return the progress of the training in the unit."""
        if self.unit == "min":
            return time.monotonic() / 60
        return training.epoch if self.unit == "epoch" else training.update

    def due(self, training: TrainState) -> bool:
        """Whether a checkpoint is due; if so the next interval starts now."""
        now = self.now(training)
        if now - self.last < self.least or now == self.last:
            return False
        self.last = now
        return True


class CheckpointWriter:
    """Writer of checkpoints and best weights in a thread; leaving the block waits for all writes.

    Training waits only for the copy to the CPU and for an unfinished previous write.

    Raises:
        OutputError: in the call after a file could not be written.
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
        """Wait until everything is on disk."""
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
            # The disk may be full: remove all but the newest and try once more.
            checkpoint.prune(self.folder, 1, best)
            checkpoint.write_checkpoint(self.folder, state, self.digest)
        checkpoint.prune(self.folder, self.keep, best)
