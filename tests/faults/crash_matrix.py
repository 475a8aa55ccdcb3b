"""Kill a run at random moments, go on with it, and compare its end with that of a run left alone.

    python -m tests.faults.crash_matrix --kills 200 --seed 0 [overrides]

A third of the moments are random times of the run's life; the others are the nth call of something
that touches the disk, or of an update or evaluation, before it or after. A run may be killed
several times. Its end must be the same bit for bit: weights of every stage, metrics and summary
without the times; nothing half written may be left, no lock, and `kdrun verify` must find nothing.
"""

import argparse
import contextlib
import hashlib
import io
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

from kdrun.errors import KdrunError
from kdrun.runs.verify import show_verified
from kdrun.store.files import read_json_lines, read_sealed
from kdrun.store.run_folder import METRICS, SUMMARY, in_use
from kdrun.store.stages import STORE, WEIGHTS
from tests.faults.mutations import MUTATIONS
from tests.faults.points import IN_MEMORY, NEVER, ON_DISK, PHASES, POINTS, Board, Moment
from tests.faults.process import PLAN, in_child, run_or_resume, with_dropout

TIMES = ("seconds", "images_per_second", "files", "sha256")


class Failure(Exception):
    """A run that was killed did not end as one left alone; says how."""


def without_times(value: Any) -> Any:
    """JSON data without what the clock says, and checksums of files which have that in them."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return value


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run came to."""
    stages = sorted((folder / "stages").iterdir())
    return {
        "weights": {s.name: hashlib.sha256((s / WEIGHTS).read_bytes()).hexdigest() for s in stages},
        "metrics": without_times(read_json_lines(folder / METRICS)),
        "summary": without_times(read_sealed(folder / SUMMARY)),
    }


def check(root: Path, folder: Path, expected: dict[str, Any]) -> None:
    """Compare the run's end with the expected; see that nothing is left lying about.

    Raises:
        Failure: says what differs.
    """
    found = outcome(folder)
    for name, value in expected.items():
        if found[name] != value:
            raise Failure(f"{name} differ: {found[name]}\nexpected: {value}")
    left = [path for pattern in (".tmp-*", "damaged-*") for path in root.rglob(pattern)]
    if left:
        raise Failure(f"left behind: {', '.join(map(str, left))}")
    held = [path for path in (folder, *(root / STORE).iterdir()) if in_use(path)]
    if held:
        raise Failure(f"still locked: {', '.join(map(str, held))}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            show_verified(root)
    except KdrunError as error:
        raise Failure(f"kdrun verify: {error}") from error


class Matrix:
    """A plan, its end when left alone, and how often it has been killed in which phase."""

    def __init__(
        self, overrides: Sequence[str], seed: int, work: Path, mutation: Callable[[], None] | None
    ) -> None:
        self.overrides = (*PLAN, *overrides)
        self.random = random.Random(seed)
        self.kinds: tuple[Sequence[str], ...] = ((), ON_DISK, IN_MEMORY)
        self.work = work
        self.mutation = mutation
        self.board = Board()
        self.kills: Counter[str] = Counter()
        self.trials = 0
        self.points = dict.fromkeys(POINTS, 0)
        self.seconds = self.left_alone()
        self.expected = outcome(work / "whole" / "run")
        check(work / "whole", work / "whole" / "run", self.expected)

    def prepare(self) -> None:
        """Change kdrun in a child."""
        with_dropout()
        if self.mutation is not None:
            self.mutation()

    def launch(self, root: Path, moment: Moment) -> tuple[int, float]:
        """Begin the run below the root or go on with it; returns its exit code and seconds.

        Raises:
            Failure: it was neither killed nor done.
        """
        root.mkdir(exist_ok=True)
        ended = in_child(
            lambda: run_or_resume(root / "run", root, self.overrides),
            root / "printed.txt",
            board=self.board,
            moment=moment,
            prepare=self.prepare,
        )
        if ended.code != 0 and (ended.code != -9 or moment is NEVER):
            raise Failure(f"left with code {ended.code}:\n{ended.printed}")
        return ended.code, ended.seconds

    def left_alone(self) -> float:
        """Do the whole run; count what it passes, return its seconds."""
        _, seconds = self.launch(self.work / "whole", NEVER)
        self.points = {point: self.board.passed(point) for point in POINTS}
        return seconds

    def moment(self) -> Moment:
        """A random time, or a random call of a random point."""
        names = self.random.choice(self.kinds)
        if not names:
            return Moment(None, seconds=self.random.uniform(0, self.seconds))
        point = self.random.choice([name for name in names if self.points[name]])
        nth = self.random.randint(1, self.points[point])
        return Moment(point, nth, self.random.random() < 0.5)

    def trial(self) -> None:
        """Kill a run once or more, let it come to its end, compare.

        Raises:
            Failure: the end is another.
        """
        self.trials += 1
        root = self.work / f"trial-{self.trials}"
        moments = [self.moment() for _ in range(self.random.choice((1, 1, 2, 3)))]
        try:
            for moment in moments:
                code, _ = self.launch(root, moment)
                if code == 0:
                    break
                self.kills[self.board.phase()] += 1
            else:
                self.launch(root, NEVER)
            check(root, root / "run", self.expected)
        except (Failure, KdrunError, OSError) as error:
            raise Failure(f"trial {self.trials}, killed at {moments}: {error}") from error
        shutil.rmtree(root)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the matrix; leave with 1 where a run ends otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", nargs="+", choices=POINTS, help="kill at these alone")
    parser.add_argument("--mutation", choices=MUTATIONS, help="a mistake that must be noticed")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="added to the default plan's"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        try:
            mutation = MUTATIONS[given.mutation] if given.mutation else None
            matrix = Matrix(given.overrides, given.seed, Path(work), mutation)
            if given.points:
                matrix.kinds = (given.points,)
            while sum(matrix.kills.values()) < given.kills:
                matrix.trial()
        except Failure as error:
            print(error)
            sys.exit(1)
    counts = ", ".join(f"{phase} {matrix.kills[phase]}" for phase in PHASES)
    seconds = time.monotonic() - began
    kills = sum(matrix.kills.values())
    print(f"{kills} kills of {matrix.trials} runs in {seconds:.0f} s: {counts}; all ended the same")


if __name__ == "__main__":
    main()
