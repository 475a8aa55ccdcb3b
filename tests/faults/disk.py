"""A disk that fills up, breaks or turns read-only under a run: one line, and nothing is lost.

    python -m tests.faults.disk --trials 30 --seed 0

From a random write on every write fails with ENOSPC, EIO, EROFS or EDQUOT. The run must leave with
code 6 and a line that says which file, and once the disk works again go on to the end of a run left
alone. `--tmpfs` does it with a small file system of its own, which takes root.
"""

import argparse
import errno
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from tests.faults.crash_matrix import Failure, check, outcome
from tests.faults.damage import SMALL
from tests.faults.points import NEVER, WRITING, Board, Moment
from tests.faults.process import Ended, in_child, run_or_resume

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
NOT_PERMITTED = 77


def launch(root: Path, log: Path, board: Board | None = None, moment: Moment = NEVER) -> Ended:
    """Begin the run below the root, or go on with it."""
    return in_child(
        lambda: run_or_resume(root / "run", root, SMALL), log, board=board, moment=moment
    )


def refused(ended: Ended) -> None:
    """See that it left with code 6 and one line.

    Raises:
        Failure: it did not.
    """
    lines = [line for line in ended.printed.splitlines() if line.startswith("kdrun: ")]
    if ended.code != 6 or len(lines) != 1 or "OSError" in lines[0]:
        raise Failure(f"code {ended.code}:\n{ended.printed}")


def injected(work: Path, trials: int, seed: int) -> None:
    """Let every write fail from a random one on; then go on without faults.

    Raises:
        Failure: it was not told, or the end is another.
    """
    draw, board, log = random.Random(seed), Board(), work / "printed.txt"
    launch(work / "whole", log, board)
    expected = outcome(work / "whole" / "run")
    points = {point: board.passed(point) for point in WRITING}
    for trial in range(trials):
        root = work / f"trial-{trial}"
        point = draw.choice(WRITING)
        moment = Moment(point, draw.randint(1, points[point]), error=draw.choice(ERRORS))
        try:
            refused(launch(root, log, board, moment))
            ended = launch(root, log)
            if ended.code != 0:
                raise Failure(f"going on: code {ended.code}:\n{ended.printed}")
            check(root, [root / "run"], [expected])
        except Failure as error:
            raise Failure(f"{moment}: {error}") from error


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    """A small file system; leaves with `NOT_PERMITTED` where none may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        sys.exit(NOT_PERMITTED)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a mounted file system."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def mounted(work: Path) -> None:
    """A file system that is full, then read-only, then large enough.

    Raises:
        Failure: it was not told, or the end is another.
    """
    root, log = work / "small", work / "printed.txt"
    launch(work / "whole", log)
    with tmpfs(root, "200k"):
        refused(launch(root, log))
        remount(root, "ro")
        refused(launch(root, log))
        remount(root, "rw,size=50m")
        ended = launch(root, log)
        if ended.code != 0:
            raise Failure(f"going on: code {ended.code}:\n{ended.printed}")
        check(root, [root / "run"], [outcome(work / "whole" / "run")])


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the trials; leave with 1 where one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tmpfs", action="store_true")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        try:
            if given.tmpfs:
                mounted(Path(work))
            else:
                injected(Path(work), given.trials, given.seed)
        except Failure as error:
            print(error)
            sys.exit(1)
    print("every fault was told and nothing was lost")


if __name__ == "__main__":
    main()
