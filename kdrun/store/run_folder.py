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

CONFIG, OVERRIDES = "config.yaml", "overrides.yaml"
ENVIRONMENT, PLAN = "environment.json", "plan.json"
STATUS, SUMMARY, METRICS, LOG = "status.json", "summary.json", "metrics.jsonl", "run.log"
ANALYSIS, REPORT, PLOTS, EXPORT = "analysis.json", "report.html", "plots", "export"
STUDENT_CARD = "student.json"
"""Card beside the files of an export."""

TEMPERATURE, CORRECT = "temperature.json", "correct.json"
SWEEP_NOTES = "sweep.yaml"

HELD = {CONFIG: "a run", SWEEP_NOTES: "a sweep"}
"""Kind of folder by the file that marks it."""

PATIENCE = 5.0
"""Seconds for a stopping process to release the folder."""


def new_run_folder(output_root: Path, dataset: str, pair: str) -> Path:
    """Create `output_root/dataset/pair/<time>`, unique to the run.

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
    """The folder relative to the working directory, if below; Hydra gives absolute job folders."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def root_above(folder: Path) -> Path:
    """The output root above the folder, links not followed; else the folder's parent."""
    parents = list(folder.absolute().parents)[:LEVELS]
    found = next((one for one in parents if os.path.lexists(one / STORE)), None)
    if found is None or folder.is_absolute():
        return found or folder.parent
    here = Path.cwd()
    return found.relative_to(here) if found.is_relative_to(here) else folder.parent


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; create the folder if missing.

    The operating system frees the lock of a dead process.

    Raises:
        OutputError: another process holds the lock, or the folder cannot be written.
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
    """Whether a process still uses the folder after `patience` seconds."""
    try:
        lock = folder_lock(folder)
        lock.acquire(timeout=patience)
    except (Timeout, OSError, OutputError):
        return True
    lock.release()
    return False


def holder(folder: Path) -> str:
    """Description of the process using the folder, from its status."""
    try:
        status = read_json(folder / STATUS)
        return f"process {int(status['pid'])} on {status['host']}"
    except (DamagedError, KeyError, TypeError, ValueError):
        return "another process"


def refuse_existing(folder: Path) -> None:
    """Check that a folder named by the user or a sweep holds no run or sweep yet.

    Raises:
        OutputError: the folder holds one.
    """
    held = next((what for name, what in HELD.items() if (folder / name).exists()), None)
    if held is not None:
        raise OutputError(
            f"{folder}: holds {held} already; resume it with 'kdrun resume {folder}', or name "
            "another folder"
        )


def trained_stages(folder: Path) -> list[int]:
    """Positions of the stages that the run began to train; [] if not in its status."""
    try:
        trained: list[int] = read_status(folder)["trained"]
    except (DamagedError, KeyError):
        return []
    return trained


def read_status(folder: Path) -> dict[str, Any]:
    """Read the status of a run from its folder.

    Raises:
        DamagedError: the status is missing, or not in kdrun's format.
    """
    content = read_json(folder / STATUS)
    check_shape(folder / STATUS, content, STATUS_SHAPE)
    status: dict[str, Any] = content
    return status


class Status:
    """`status.json`, kept up to date: running, then done, stopped or failed with the reason.

    Attributes:
        trained: positions of the stages that this run began to train instead of reusing.
    """

    def __init__(self, folder: Path, trained: Sequence[int] = ()) -> None:
        self.path = folder / STATUS
        self.trained = list(trained)

    @property
    def done(self) -> bool:
        """Whether the status is "done"."""
        try:
            return bool(read_status(self.path.parent)["status"] == "done")
        except DamagedError:
            return False

    def write(self, status: str, error: dict[str, Any] | None = None) -> None:
        """Write a new status."""
        content = {"format": 1, "status": status, "pid": os.getpid(), "host": socket.gethostname()}
        content |= {"trained": self.trained} | ({} if error is None else {"error": error})
        write_json(self.path, content)

    def training(self, position: int) -> None:
        """Record that the run trains a stage."""
        if position not in self.trained:
            self.trained.append(position)
            self.write("running")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write the outcome of the block as the status."""
        self.write("running")
        try:
            yield
        except Exception as error:
            code = error.code if isinstance(error, KdrunError) else KdrunError.code
            state = "stopped" if isinstance(error, Stopped) else "failed"
            self.write(state, {"code": code, "message": str(error)})
            raise
        self.write("done")
