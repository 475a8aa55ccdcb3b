"""Kill a run at random moments, go on with it, and compare its end with that of a run left alone.

    python -m tests.faults.crash_matrix --kills 200 --seed 0 [--kind raise] [overrides]

A third of the moments are random times of the run's life; the others are the nth call of something
that touches the disk, or of an update or evaluation, before it or after. A run may be killed
several times. Its end must be the same bit for bit: weights of every stage, metrics and summary
without the times; nothing half written may be left, no lock, and `kdrun verify` must find nothing.
"""

import argparse
import contextlib
import io
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch

from kdrun.errors import KdrunError
from kdrun.runs.resume import resume_run
from kdrun.runs.verify import show_verified
from kdrun.store.run_folder import in_use
from kdrun.store.stages import STORE
from tests.faults.kinds import KINDS, Kind, arm_children, exchange, of_another, outcome
from tests.faults.mutations import MUTATIONS
from tests.faults.points import IN_MEMORY, NEVER, ON_DISK, PHASES, POINTS, Board, Moment
from tests.faults.process import PLAN, in_child, with_dropout


class Failure(Exception):
    """A run that was killed did not end as one left alone; says how."""


def check(
    root: Path, runs: Sequence[Path], expected: Sequence[dict[str, Any]], blind: Sequence[str] = ()
) -> None:
    """Compare the end of each run with the expected; see that nothing is left lying about.

    Raises:
        Failure: says what differs.
    """
    for folder, whole in zip(runs, expected, strict=True):
        found = outcome(folder, blind)
        for name, value in whole.items():
            if found.get(name) != value:
                raise Failure(f"{name} differ: {found.get(name)}\nexpected: {value}")
    left = [path for pattern in (".tmp-*", "damaged-*") for path in root.rglob(pattern)]
    if left:
        raise Failure(f"left behind: {', '.join(map(str, left))}")
    held = [path for path in (*runs, *(root / STORE).glob("[0-9a-f]*")) if in_use(path)]
    if held:
        raise Failure(f"still locked: {', '.join(map(str, held))}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            show_verified(root)
    except KdrunError as error:
        raise Failure(f"kdrun verify: {error}") from error


def remove_set_aside(exchanged: Collection[Path]) -> None:
    """Remove what entries that had changed places held of another stage.

    Raises:
        Failure: one of them has set its own stage aside.
    """
    for aside in (path for entry in exchanged for path in entry.glob("damaged-*")):
        if not of_another(aside):
            raise Failure(f"set aside without need: {aside}")
        shutil.rmtree(aside)


class Matrix:
    """Work, its end when left alone, and how often it has been killed in which phase.

    Args:
        kind: what is killed.
        overrides: of the run, besides those of the default plan.
        seed: of the moments.
        work: a folder for all runs.
        mutation: a mistake that is made in every process.
        exchanged: whether entries of the store change places after a kill.
    """

    def __init__(
        self,
        kind: Kind,
        overrides: Sequence[str],
        seed: int,
        work: Path,
        mutation: Callable[[], None] | None = None,
        exchanged: bool = False,
    ) -> None:
        self.kind = kind
        self.overrides = (*PLAN, *overrides)
        self.random = random.Random(seed)
        self.kinds: tuple[Sequence[str], ...] = ((), ON_DISK, IN_MEMORY)
        self.work = work
        self.mutation = mutation
        self.exchanged = exchanged
        self.board = Board(work / "board")
        self.kills: Counter[str] = Counter()
        self.trials = 0
        self.points = dict.fromkeys(POINTS, 0)
        self.seconds = self.left_alone()
        runs = kind.runs(work / "whole")
        self.expected = [outcome(folder, kind.blind) for folder in runs]
        check(work / "whole", runs, self.expected, kind.blind)

    def launch(
        self, root: Path, moment: Moment, command: Callable[[], None] | None = None
    ) -> tuple[int, float]:
        """Give the command below the root; returns its exit code and seconds.

        Raises:
            Failure: it was neither killed nor done.
        """
        root.mkdir(exist_ok=True)

        def prepare() -> None:
            with_dropout()
            arm_children(self.board, moment)
            if self.mutation is not None:
                self.mutation()

        ended = in_child(
            command or (lambda: self.kind.command(root, self.overrides)),
            root / "printed.txt",
            board=self.board,
            moment=moment,
            prepare=prepare,
        )
        if ended.code != 0 and (ended.code not in self.kind.codes or moment is NEVER):
            raise Failure(f"left with code {ended.code}:\n{ended.printed}")
        return ended.code, ended.seconds

    def left_alone(self) -> float:
        """Do the whole work; count what it passes, return its seconds."""
        if self.kind.opened:
            begun = self.work / "begun"
            self.launch(begun, NEVER, lambda: KINDS["run"].command(begun, self.overrides))
        root = self.fresh("whole")
        _, seconds = self.launch(root, NEVER)
        self.points = {point: self.board.passed(point) for point in POINTS}
        return seconds

    def fresh(self, name: str) -> Path:
        """A root where the command has not been given."""
        root = self.work / name
        if self.kind.opened:
            shutil.copytree(self.work / "begun", root, symlinks=True)
        return root

    def moment(self) -> Moment:
        """A random time, or a random call of a random point."""
        names = [name for name in self.random.choice(self.kinds) if self.points[name]]
        if not names:
            return Moment(None, seconds=self.random.uniform(0, self.seconds))
        point = self.random.choice(names)
        nth = self.random.randint(1, self.points[point])
        return Moment(point, nth, self.random.random() < 0.5)

    def trial(self) -> None:
        """Kill the work once or more, let it come to its end, compare.

        Raises:
            Failure: the end is another.
        """
        self.trials += 1
        root = self.fresh(f"trial-{self.trials}")
        moments = [self.moment() for _ in range(self.random.choice((1, 1, 2, 3)))]
        exchanged: set[Path] = set()
        try:
            for moment in moments:
                code, _ = self.launch(root, moment)
                if code == 0:
                    break
                self.kills[self.board.phase()] += 1
                self.between(root, exchanged)
            else:
                self.launch(root, NEVER)
            remove_set_aside(exchanged)
            check(root, self.kind.runs(root), self.expected, self.kind.blind)
        except (Failure, KdrunError, OSError) as error:
            raise Failure(f"trial {self.trials}, killed at {moments}: {error}") from error
        shutil.rmtree(root)

    def between(self, root: Path, exchanged: set[Path]) -> None:
        """What happens after a kill: often nothing; `kdrun resume`; entries change places.

        Args:
            root: the output root.
            exchanged: receives the entries of the store that changed places.
        """
        if self.exchanged:
            remove_set_aside(exchanged)  # before it changes places too
            exchanged.update(exchange(root / STORE))
        if self.kind.resumed and self.random.random() < 0.5:
            self.launch(root, NEVER, lambda: resume_run(root / "run", []) and None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the matrix; leave with 1 where a run ends otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, default="run", help="what is killed")
    parser.add_argument("--exchange", action="store_true", help="of stored stages, after kills")
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
            kind = KINDS[given.kind]
            matrix = Matrix(kind, given.overrides, given.seed, Path(work), mutation, given.exchange)
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
