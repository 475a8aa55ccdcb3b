"""Where a step of kdrun's loop goes: its phases by wrapped calls, apart from the timed rounds."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Protocol
from unittest.mock import patch

import torch

import kdrun.training.loop
from tests.benchmarks.loops import KdrunLoop
from tests.benchmarks.rounds import spread, synchronize

PHASES = ("data", "teacher", "student", "loss", "backward", "optimizer")
OWN = "kdrun"
"""All the rest: schedules, sums, finite checks, gradient norm, progress, timetable, random seed."""

SHARES = "gradient shares"


class Timer(Protocol):
    """Tells phases apart."""

    def timed(self, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, known as the phase's."""
        ...


class Clock:
    """Milliseconds of each phase in each step; what a phase calls counts as its own alone."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps: list[dict[str, float]] = []
        self._stack = [OWN]
        self._step: dict[str, float] = {}
        self._since = time.perf_counter()

    def timed(self, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, whose time is the phase's."""

        def call(*arguments: Any, **options: Any) -> Any:
            self._note()
            self._stack.append(phase)
            try:
                return work(*arguments, **options)
            finally:
                self._note()
                self._stack.pop()

        return call

    def mark(self) -> None:
        """A step is done."""
        self._note()
        self.steps.append(self._step)
        self._step = {}

    def begin(self) -> None:
        """Nothing before counts."""
        self.steps, self._step = [], {}
        self._note()
        self._step = {}

    def _note(self) -> None:
        synchronize(self.device)
        now = time.perf_counter()
        phase = self._stack[-1]
        self._step[phase] = self._step.get(phase, 0.0) + 1000 * (now - self._since)
        self._since = now


@contextmanager
def watched(loop: KdrunLoop, clock: Timer) -> Iterator[None]:
    """Inside the block the loop's calls are told apart."""
    settings, batches = loop.settings, loop.batches
    optimizer, objective = loop.training.optimizer, loop.objective
    objects: list[tuple[Any, str, str]] = [
        (kdrun.training.loop.Views, "images", "data"),
        (type(settings.teachers), "__call__", "teacher"),
        (torch.Tensor, "backward", "backward"),
        (kdrun.training.loop, "gradient_shares", SHARES),
        (objective, "forward", "loss"),
        (objective, "total", "loss"),
        (optimizer, "step", "optimizer"),
        (optimizer, "zero_grad", "optimizer"),
    ]
    with ExitStack() as patches:
        for owner, name, phase in objects:
            timed = clock.timed(phase, getattr(owner, name))
            patches.enter_context(patch.object(owner, name, timed))
        loop.settings = replace(settings, student=clock.timed("student", settings.student))
        loop.batches = iter(clock.timed("data", batches.__next__), None)  # type: ignore[arg-type]
        try:
            yield
        finally:
            loop.settings = settings
            loop.begin_epoch()


def phases_of(loop: KdrunLoop, steps: int) -> dict[str, Any]:
    """Spread of each phase's milliseconds over the steps, and what kdrun adds to each epoch."""
    clock = Clock(loop.parts.context.device)
    loop.begin_epoch()
    steps = min(steps, loop.left - 2)  # all in one epoch, with the one for the gradient shares
    with loop.turn(), watched(loop, clock):
        clock.begin()
        loop.run(steps, clock.mark)
        found = clock.steps
        loop.training.batch = 0  # the first batch of an epoch, with its gradient shares
        clock.begin()
        loop.run(1, clock.mark)
        shares = clock.steps[0].get(SHARES, 0.0)
    names = [name for name in (*PHASES, OWN) if any(name in step for step in found)]
    total = [sum(step.values()) for step in found]
    own = [step.get(OWN, 0.0) / whole for step, whole in zip(found, total, strict=True)]
    return {
        "milliseconds": {name: spread([step.get(name, 0.0) for step in found]) for name in names},
        "total": spread(total),
        "own_share": statistics.median(own),
        "epoch": {"gradient_shares_ms": shares, **checkpoint_costs(loop)},
    }


def checkpoint_costs(loop: KdrunLoop) -> dict[str, float]:
    """Milliseconds that training waits for a checkpoint, and until it is on the disk."""
    began = time.perf_counter()
    loop.trainer.writer.save(loop.training)
    waited = time.perf_counter() - began
    loop.trainer.writer.wait()
    written = time.perf_counter() - began
    return {"checkpoint_wait_ms": 1000 * waited, "checkpoint_written_ms": 1000 * written}
