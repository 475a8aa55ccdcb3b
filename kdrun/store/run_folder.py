"""The folder of a run: file names, exclusive claim, status. Imports no torch."""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kdrun.errors import DamagedError, KdrunError, OutputError, Stopped
from kdrun.store.files import cannot_write, read_json, remove_leftovers, write_json

CONFIG, OVERRIDES, ENVIRONMENT, PLAN = (
    *("config.yaml", "overrides.yaml", "environment.json", "plan.json"),
)
STATUS, SUMMARY, METRICS, LOG = "status.json", "summary.json", "metrics.jsonl", "run.log"
ANALYSIS, REPORT, PLOTS = "analysis.json", "report.html", "plots"
TEMPERATURE = "temperature.json"

PATIENCE = 5.0
"""Seconds for a process that was told to stop to leave the folder."""


def new_run_folder(output_root: Path, dataset: str, pair: str) -> Path:
    """Create `output_root/dataset/pair/<time>`; two runs never get the same folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    parent = output_root / dataset / pair
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise cannot_write(parent, error) from error


def from_here(folder: Path) -> Path:
    """The folder as one would write it here; Hydra names those of a sweep's jobs in full."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Have the folder to oneself, which is created where it is not there.

    The operating system frees the lock of a process that died.

    Raises:
        OutputError: another process has it, or it cannot be written.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE, poll_interval=0.05)
    except Timeout:
        raise OutputError(f"{folder}: in use by {holder(folder)}") from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()


def in_use(folder: Path, patience: float = 0.0) -> bool:
    """Whether a process works in the folder, and still does after the seconds of patience."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=patience)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def holder(folder: Path) -> str:
    """Who works in the folder, as its status says."""
    try:
        status = json.loads((folder / STATUS).read_bytes())
        return f"process {status['pid']} on {status['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def refuse_existing(folder: Path) -> None:
    """A folder that the user or a sweep named must not hold a run already.

    Raises:
        OutputError: it does.
    """
    if (folder / CONFIG).exists():
        raise OutputError(
            f"{folder}: holds a run already; 'kdrun resume {folder}' goes on with it, or name "
            "another folder"
        )


def trained_stages(folder: Path) -> list[int]:
    """The stages that the run began to train; none where its status does not say."""
    try:
        return [int(position) for position in read_json(folder / STATUS)["trained"]]
    except (DamagedError, KeyError, TypeError, ValueError):
        return []


class Status:
    """`status.json`, kept true: running, then done, stopped or failed with the reason.

    Attributes:
        trained: positions of the stages that this run has begun to train, not found finished.
    """

    def __init__(self, folder: Path, trained: Sequence[int] = ()) -> None:
        self.path = folder / STATUS
        self.trained = list(trained)

    @property
    def done(self) -> bool:
        """Whether the file says so."""
        try:
            return bool(read_json(self.path)["status"] == "done")
        except (DamagedError, KeyError, TypeError):
            return False

    def write(self, status: str, error: dict[str, Any] | None = None) -> None:
        """Replace the file."""
        content = {"format": 1, "status": status, "pid": os.getpid(), "host": socket.gethostname()}
        content |= {"trained": self.trained} | ({} if error is None else {"error": error})
        write_json(self.path, content)

    def training(self, position: int) -> None:
        """Note that the run trains a stage."""
        if position not in self.trained:
            self.trained.append(position)
            self.write("running")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write how the block ends."""
        self.write("running")
        try:
            yield
        except Exception as error:
            code = error.code if isinstance(error, KdrunError) else KdrunError.code
            state = "stopped" if isinstance(error, Stopped) else "failed"
            self.write(state, {"code": code, "message": str(error)})
            raise
        self.write("done")
