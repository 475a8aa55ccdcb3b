"""The folder of a run: file names, exclusive claim, status. Imports no torch."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from kdrun.errors import DamagedError, KdrunError, OutputError, Stopped
from kdrun.store.files import cannot_write, read_json, write_json
from kdrun.store.folders import folder_lock, make_folder, remove_leftovers
from kdrun.store.formats import STATUS as STATUS_SHAPE
from kdrun.store.shapes import check_shape
from kdrun.store.stages import LEVELS, STORE

CONFIG, OVERRIDES, ENVIRONMENT, PLAN = (
    *("config.yaml", "overrides.yaml", "environment.json", "plan.json"),
)
STATUS, SUMMARY, METRICS, LOG = "status.json", "summary.json", "metrics.jsonl", "run.log"
ANALYSIS, REPORT, PLOTS = "analysis.json", "report.html", "plots"
TEMPERATURE, CORRECT = "temperature.json", "correct.json"
SWEEP_NOTES = "sweep.yaml"

HELD = {CONFIG: "a run", SWEEP_NOTES: "a sweep"}
"""What a folder holds, by the file that says so."""

PATIENCE = 5.0
"""Seconds for a process that was told to stop to leave the folder."""


def new_run_folder(output_root: Path, dataset: str, pair: str) -> Path:
    """Create `output_root/dataset/pair/<time>`; two runs never get the same folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    parent = make_folder(output_root / dataset / pair, output_root)
    try:
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


def root_above(folder: Path) -> Path:
    """The output root that holds the folder, links not followed; else the folder's parent."""
    parents = list(folder.absolute().parents)[:LEVELS]
    found = next((one for one in parents if os.path.lexists(one / STORE)), None)
    if found is None or folder.is_absolute():
        return found or folder.parent
    here = Path.cwd()
    return found.relative_to(here) if found.is_relative_to(here) else folder.parent


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Have the folder to oneself, which is created where it is not there.

    The operating system frees the lock of a process that died.

    Raises:
        OutputError: another process has it, or it cannot be written.
    """
    lock = folder_lock(make_folder(folder, root_above(folder)))
    try:
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
    try:
        lock = folder_lock(folder)
        lock.acquire(timeout=patience)
    except (Timeout, OSError, OutputError):
        return True
    lock.release()
    return False


def holder(folder: Path) -> str:
    """Who works in the folder, as its status says."""
    try:
        status = read_json(folder / STATUS)
        return f"process {int(status['pid'])} on {status['host']}"
    except (DamagedError, KeyError, TypeError, ValueError):
        return "another process"


def refuse_existing(folder: Path) -> None:
    """A folder that the user or a sweep named must not hold a run or a sweep already.

    Raises:
        OutputError: it does.
    """
    held = next((what for name, what in HELD.items() if (folder / name).exists()), None)
    if held is not None:
        raise OutputError(
            f"{folder}: holds {held} already; 'kdrun resume {folder}' goes on with it, or name "
            "another folder"
        )


def trained_stages(folder: Path) -> list[int]:
    """The stages that the run began to train; none where its status does not say."""
    try:
        trained: list[int] = read_status(folder)["trained"]
    except (DamagedError, KeyError):
        return []
    return trained


def read_status(folder: Path) -> dict[str, Any]:
    """How far a run is, as its folder says.

    Raises:
        DamagedError: it does not say, or nothing that kdrun writes.
    """
    content = read_json(folder / STATUS)
    check_shape(folder / STATUS, content, STATUS_SHAPE)
    status: dict[str, Any] = content
    return status


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
            return bool(read_status(self.path.parent)["status"] == "done")
        except DamagedError:
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
