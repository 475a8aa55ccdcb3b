"""Work that the crash matrix kills: a run, a finished run opened again, a sweep."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdrun.cli.entry import dispatch
from kdrun.export.student import export_student
from kdrun.report.run_page import write_report
from kdrun.runs.analyze import analyze_run
from kdrun.runs.resume import resume_run
from kdrun.runs.sweep import sweep
from kdrun.store.files import read_json_lines, read_sealed
from kdrun.store.run_folder import ANALYSIS, METRICS, SUMMARY
from kdrun.store.stages import CHECKPOINTS, IDENTITY, WEIGHTS, own_digest
from tests.faults import works
from tests.faults.points import Board, Moment
from tests.faults.process import run_or_resume

TIMES = (
    *("seconds", "images_per_second", "files", "sha256", "bytes", "memory_mb"),
    *("latency", "latency_eager", "run", "host", "code", "error"),
)
"""What the clock says, checksums of what has that in it, and names of folders."""


class Kind(NamedTuple):
    """What is killed.

    Attributes:
        command: does the work below the root, or what is left of it.
        runs: the folders of the runs that it leaves below the root.
        opened: whether the command opens a run that is finished already.
        resumed: whether a bare `kdrun resume` may come between two commands.
        blind: names of values that may differ: which of two jobs trains what both need.
        codes: exit codes, besides that of a kill, with which a killed command may leave.
    """

    command: Callable[[Path, Sequence[str]], None]
    runs: Callable[[Path], list[Path]] = lambda root: [root / "run"]
    opened: bool = False
    resumed: bool = False
    blind: tuple[str, ...] = ()
    codes: tuple[int, ...] = (-9,)


def run(root: Path, overrides: Sequence[str]) -> None:
    """Begin a run, or go on with it."""
    run_or_resume(root / "run", root, overrides)


def raised(root: Path, overrides: Sequence[str]) -> None:
    """Give a finished run more epochs."""
    resume_run(root / "run", ["train.epochs=3"])


def analyze(root: Path, overrides: Sequence[str]) -> None:
    """Measure a finished run, and write its page."""
    analyze_run(root / "run", "basic")
    write_report(root / "run")


def export(root: Path, overrides: Sequence[str]) -> None:
    """Write the student of a finished run alone."""
    export_student(root / "run", ["safetensors"])


def whole_sweep(root: Path, overrides: Sequence[str]) -> None:
    """Begin a sweep of two jobs, or go on with it."""
    folder = root / "sweep"
    if (folder / "sweep.yaml").exists():
        dispatch(["resume", str(folder)])
    else:
        words = [*overrides, "loss.T=2,5", f"output_root={root}", f"hydra.sweep.dir={folder}"]
        dispatch(["-m", *words])


def jobs(root: Path) -> list[Path]:
    """The folders of the sweep's jobs."""
    return [root / "sweep" / name for name in ("0", "1")]


KINDS = {
    "run": Kind(run),
    "raise": Kind(raised, opened=True, resumed=True),
    "analyze": Kind(analyze, opened=True),
    "export": Kind(export, opened=True),
    # A job that is killed alone is told by the sweep, which goes on with the next.
    "sweep": Kind(whole_sweep, jobs, blind=("reused",), codes=(-9, 137)),
}


def arm_children(board: Board, moment: Moment) -> None:
    """Let the processes of a sweep's jobs count on the same board, and die at the same moment."""
    os.environ[works.BOARD] = str(board.path)
    os.environ[works.MOMENT] = json.dumps(moment._replace(seconds=None))
    sweep.guarded_job = works.armed_job


def without(value: Any, names: Sequence[str]) -> Any:
    """JSON data without the values of these names, at any depth."""
    if isinstance(value, dict):
        return {k: without(v, names) for k, v in value.items() if k not in names}
    if isinstance(value, list):
        return [without(item, names) for item in value]
    return value


def outcome(folder: Path, blind: Sequence[str] = ()) -> dict[str, Any]:
    """All that a run came to, but for the times and what one is blind for."""
    stages = sorted((folder / "stages").iterdir())
    found = {
        "metrics": read_json_lines(folder / METRICS),
        "summary": read_sealed(folder / SUMMARY),
        **dict(extras(folder)),
    }
    weights = {s.name: file_hash(s / WEIGHTS) for s in stages}
    return {"weights": weights, **without(found, (*TIMES, *blind))}


def extras(folder: Path) -> Iterator[tuple[str, Any]]:
    """What was measured and exported."""
    if (folder / ANALYSIS).exists():
        yield "analysis", read_sealed(folder / ANALYSIS)
        yield "page", (folder / "report.html").exists()
    card = folder / "export" / "student.json"
    if card.exists():
        yield "card", json.loads(card.read_text())
        yield "exported", file_hash(folder / "export" / "student.safetensors")


def file_hash(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exchange(store: Path) -> tuple[Path, ...]:
    """Let two finished entries of the store change places, as a careless copy would.

    Returns:
        Both; none where fewer are finished.
    """
    done = sorted(path.parent for path in store.glob(f"*/{SUMMARY}"))
    if len(done) < 2:
        return ()
    aside = store.with_name("aside")
    shutil.move(done[0], aside)
    shutil.move(done[1], done[0])
    shutil.move(aside, done[1])
    return tuple(done[:2])


def of_another(aside: Path) -> bool:
    """Whether what an entry of the store moved aside are files of another stage.

    A kill may leave them in two folders, of which the later has no identity.
    """
    files = {path.name for path in aside.iterdir()}
    if not files <= {SUMMARY, WEIGHTS, METRICS, IDENTITY, CHECKPOINTS}:
        return False
    for name in (SUMMARY, IDENTITY):
        if name not in files:
            continue
        found = read_sealed(aside / name)["hash"] if name == SUMMARY else own_digest(aside)
        if found == aside.parent.name:
            return False
    return True
