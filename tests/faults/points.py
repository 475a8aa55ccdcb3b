"""Named moments of a run at which it can be killed, and the phase in which it was."""

import mmap
import os
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PHASES = ("start", "between stages", "training", "evaluation", "checkpoint")
ON_DISK = ("open", "append", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "symlink")
WRITING = ("open", "append", "fsync", "mkdir")
IN_MEMORY = ("update", "evaluate")
POINTS = (*ON_DISK, *IN_MEMORY)


class Moment(NamedTuple):
    """When a process dies: at the nth call of a point, before it or after; or after seconds.

    With an errno it lives on, and that call and every later one that would write fails with it.
    """

    point: str | None
    nth: int = 0
    after: bool = False
    seconds: float = float("inf")
    error: int = 0


NEVER = Moment(None)


class Board:
    """Memory that processes share: what they are doing, and how often they passed each point.

    Args:
        path: a file by which others than forked children share it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        if path is None:
            self.memory = mmap.mmap(-1, mmap.PAGESIZE)
            return
        with path.open("a+b") as file:
            file.truncate(mmap.PAGESIZE)
            self.memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def clear(self) -> None:
        """As before the child began."""
        self.memory[:] = bytes(mmap.PAGESIZE)

    def phase(self) -> str:
        """What the child was doing; a checkpoint is written while it trains on."""
        return "checkpoint" if self.memory[1] else PHASES[self.memory[0]]

    def passed(self, point: str) -> int:
        """How often the child reached the point."""
        return struct.unpack_from("I", self.memory, 8 + 4 * POINTS.index(point))[0]

    def count(self, point: str) -> int:
        """One more time; which one it is."""
        value = self.passed(point) + 1
        struct.pack_into("I", self.memory, 8 + 4 * POINTS.index(point), value)
        return value

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Say what is being done, then what was done before."""
        cell, value = (1, 1) if phase == "checkpoint" else (0, PHASES.index(phase))
        before = self.memory[cell]
        self.memory[cell] = value
        yield
        self.memory[cell] = before


def die() -> None:
    """As the kernel kills where memory runs out: nothing is flushed, nothing cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def watch_phases(board: Board) -> None:
    """Let the functions of kdrun that make a phase say so."""
    from kdrun.runs import runner
    from kdrun.training import checkpoint_writer, evaluate, run_stage, trainer

    def told(module: object, name: str, phase: str) -> None:
        real = getattr(module, name)

        def inside(*arguments, **named):
            with board.within(phase):
                return real(*arguments, **named)

        setattr(module, name, inside)

    told(runner, "do_stage", "between stages")
    real = trainer.train_epoch

    def training(*arguments, **named):
        with board.within("training"):
            return (yield from real(*arguments, **named))

    trainer.train_epoch = training
    told(evaluate, "measure", "evaluation")
    told(run_stage, "measure", "evaluation")
    told(checkpoint_writer.CheckpointWriter, "_write", "checkpoint")
    told(checkpoint_writer.CheckpointWriter, "_write_best", "checkpoint")


def arm(board: Board, moment: Moment) -> None:
    """Count every call of every point; die at the moment."""
    from kdrun.runs import runner
    from kdrun.store import files
    from kdrun.training import evaluate, loop, trainer

    def pointed(name: str, real: Callable, spoil: Callable[..., None] | None = None) -> Callable:
        def call(*arguments, **named):
            now = (name, board.count(name)) == (moment.point, moment.nth)
            if moment.error:
                fail_from(now, name)
                now = False
            if now and not moment.after:
                die()
            if now and spoil is not None:
                spoil(*arguments)
                die()
            result = real(*arguments, **named)
            if now:
                die()
            return result

        return call

    failing: list[bool] = []

    def fail_from(now: bool, name: str) -> None:
        if now:
            failing.append(True)
        if failing and name in WRITING:
            raise OSError(moment.error, os.strerror(moment.error))

    def half_file(path: Path, *mode: str) -> None:
        with real_open(path, *mode) as file:
            file.write(b"{")

    def half_line(path: Path, line: dict) -> None:
        with real_open(path, "a") as file:
            file.write('{"stage": 0, "ro')

    real_open, real_line = Path.open, files.append_json_line

    def opened(path: Path, *mode: str, **named):
        if not set("".join(mode)) & set("wax"):
            return real_open(path, *mode, **named)
        return spoiled(path, *mode, **named)

    spoiled = pointed("open", real_open, half_file)
    Path.open = opened
    line = pointed("append", real_line, half_line)
    files.append_json_line = trainer.append_json_line = runner.append_json_line = line
    for name in ON_DISK[2:]:
        setattr(os, name, pointed(name, getattr(os, name)))
    loop.apply_update = pointed("update", loop.apply_update)
    evaluate.evaluate = pointed("evaluate", evaluate.evaluate)
