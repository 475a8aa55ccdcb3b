"""Damage a file of a run at a random place, then use the run: the right result, or one line.

    python -m tests.faults.damage --places 500 --seed 0

A bit is flipped, or a file cut, emptied, overwritten with zeros or removed: of a run that was
killed in its student, or of one that is done. Then the run is gone on with, begun again in a new
folder on the same store, or its student is taken as a teacher. Either the result is the one of
whole files, or kdrun says in one line what is wrong and leaves with a documented code.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from kdrun.config.compose import compose_job
from kdrun.config.parse import parse
from kdrun.errors import DamagedError
from kdrun.runs import runner
from kdrun.runs.resume import resume_run
from tests.faults.crash_matrix import Failure, outcome
from tests.faults.points import NEVER, Board, Moment
from tests.faults.process import PLAN, Ended, in_child, run_or_resume

SMALL = (*PLAN, "chain.control=false", "dataset.limit=200", "train.epochs=3")
CODES = (2, 3, 4, 6)
IGNORED = (".lock", "printed.txt")


def flip(content: bytearray, at: int) -> bytearray:
    """One bit changes."""
    content[at // 8 % len(content)] ^= 1 << at % 8
    return content


def cut(content: bytearray, at: int) -> bytearray:
    """The end is missing."""
    return content[: at % len(content)]


def zeros(content: bytearray, at: int) -> bytearray:
    """A block is overwritten with zeros."""
    start = at % len(content)
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    return content


KINDS: dict[str, Callable[[bytearray, int], bytearray] | None] = {
    "flip": flip,
    "cut": cut,
    "zeros": zeros,
    "removed": None,
}


def again(root: Path) -> Path:
    """The same run in a new folder, on the same store."""
    config = parse(compose_job([*SMALL, f"output_root={root}"]))
    runner.run(config, root / "again", SMALL)
    return root / "again"


def resumed(root: Path) -> Path:
    """The run gone on with."""
    resume_run(root / "run", [])
    return root / "run"


def as_teacher(root: Path) -> Path:
    """A run that has the run's student for its teacher."""
    given = (f"teacher.weights={root / 'run'}", "teacher.width=4", "loss=kd", "train.seed=1")
    config = parse(compose_job([*SMALL, *given, f"output_root={root}"]))
    runner.run(config, root / "taught", given)
    return root / "taught"


USES = {"resumed": resumed, "again": again, "as teacher": as_teacher}


def result(folder: Path) -> dict[str, Any]:
    """What a run came to, whichever stages of it were found in the store."""
    found = outcome(folder)
    for stage in found["summary"]["stages"]:
        del stage["reused"]
    return found


class Damages:
    """A run that was killed and one that is done, and what each use of them must give."""

    def __init__(self, seed: int, work: Path) -> None:
        self.random = random.Random(seed)
        self.work = work
        self.ended: Counter[str] = Counter()
        board = Board()
        self.begin("done", board, NEVER)
        self.begin("killed", board, Moment("update", board.passed("update") - 2))
        self.expected = {}
        for use, do in USES.items():
            root = self.copied("done")
            ended = self.used(root, do)
            if ended.code != 0:
                raise Failure(f"whole files {use}: {ended.printed}")
            self.expected[use] = result(next(self.folders(root, use)))
            shutil.rmtree(root)

    def begin(self, name: str, board: Board, moment: Moment) -> None:
        """Make a run below the folder of this name."""
        root = self.work / name
        root.mkdir()
        log = self.work / "printed.txt"
        ended = in_child(
            lambda: run_or_resume(root / "run", root, SMALL), log, board=board, moment=moment
        )
        if ended.code != (0 if moment is NEVER else -9):
            raise Failure(ended.printed)

    def folders(self, root: Path, use: str) -> Any:
        """Where the result of a use is."""
        yield root / {"resumed": "run", "again": "again", "as teacher": "taught"}[use]

    def copied(self, name: str) -> Path:
        """A copy to be damaged."""
        return Path(shutil.copytree(self.work / name, self.work / "copy", symlinks=True))

    def used(self, root: Path, do: Callable[[Path], Any]) -> Ended:
        """Use the run in a child."""
        return in_child(lambda: do(root) and None, self.work / "printed.txt")

    def trial(self) -> None:
        """Damage a place, use the run, judge.

        Raises:
            Failure: it gave a wrong result, a traceback, or no reason.
        """
        name = self.random.choice(("killed", "done"))
        use = self.random.choice([u for u in USES if name == "done" or u != "as teacher"])
        root = self.copied(name)
        what = f"{name}, {use}, {self.damage(root)}"
        try:
            self.judge(self.used(root, USES[use]), root, use)
        except (Failure, DamagedError, OSError) as error:
            raise Failure(f"{what}: {error}") from error
        shutil.rmtree(root)

    def damage(self, root: Path) -> str:
        """Damage a file, each kind of file as often as another; says what was done."""
        files: dict[str, list[Path]] = {}
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name not in IGNORED:
                files.setdefault(f"{path.parent.parent.name}/{path.name}", []).append(path)
        path = self.random.choice(files[self.random.choice(sorted(files))])
        kind = self.random.choice(list(KINDS))
        at = self.random.randrange(2**40)
        damage, content = KINDS[kind], bytearray(path.read_bytes())
        if damage is None or not content:
            path.unlink()
        else:
            path.write_bytes(damage(content, at))
        return f"{path.relative_to(root)} {kind} at {at}"

    def judge(self, ended: Ended, root: Path, use: str) -> None:
        """Compare with the right result, or look at the reason."""
        lines = [line for line in ended.printed.splitlines() if line.startswith("kdrun: ")]
        if "Traceback" in ended.printed or ended.code not in (0, *CODES):
            raise Failure(f"code {ended.code}:\n{ended.printed}")
        if ended.code != 0:
            if len(lines) != 1:
                raise Failure(f"not one line:\n{ended.printed}")
            self.ended[f"code {ended.code}"] += 1
        elif result(next(self.folders(root, use))) != self.expected[use]:
            raise Failure(f"a wrong result without a word:\n{ended.printed}")
        else:
            self.ended["right result"] += 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Try the places; leave with 1 where one is taken wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--places", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began, failures = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as work:
        damages = Damages(given.seed, Path(work))
        for _ in range(given.places):
            try:
                damages.trial()
            except Failure as error:
                print(error, flush=True)
                failures += 1
                shutil.rmtree(damages.work / "copy")
    counts = ", ".join(f"{name} {count}" for name, count in sorted(damages.ended.items()))
    seconds = time.monotonic() - began
    print(f"{given.places} places in {seconds:.0f} s: {counts}, {failures} taken wrongly")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
