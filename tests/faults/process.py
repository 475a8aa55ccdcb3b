"""A run in a forked child that can be killed; torch is imported once, in one thread."""

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import sklearn.datasets  # noqa: F401 - imported once for all children
import torch
import torch.nn.functional as F
from torch import nn

from kdrun.cli.entry import guarded
from kdrun.config.compose import compose_job
from kdrun.config.parse import parse
from kdrun.runs import runner
from kdrun.runs.resume import resume_run
from kdrun.store.run_folder import CONFIG
from kdrun.training import stage_model
from tests.faults.points import NEVER, Board, Moment, arm, watch_phases

PLAN = (
    *("teacher=convnet", "teacher.width=8", "student=convnet", "student.width=4", "loss=[kd,hint]"),
    *("train.epochs=2", "train.batch_size=64", "train.ema=0.9", "train.checkpoint_every=3steps"),
    *("train.precision=fp32", "train.device=cpu", "teacher.min_accuracy=0", "dataset.limit=400"),
    "analysis=off",
)
"""Several stages with every kind of state: momentum, projectors, an average, dropout, sums."""

LIMIT = 120.0
"""Seconds after which a child hangs."""


class Ended(NamedTuple):
    """How a child ended: its exit code, or minus the signal that killed it; what it printed."""

    code: int
    seconds: float
    printed: str


def with_dropout() -> None:
    """Let every model drop a tenth of what goes into its classifier, in training only."""
    real = stage_model.build_model

    def build(*arguments, **named) -> nn.Module:
        model = real(*arguments, **named)
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]

        def drop(module: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            return (F.dropout(inputs[0], 0.1, training=module.training),)

        last.register_forward_pre_hook(drop)
        return model

    stage_model.build_model = build


def run_or_resume(folder: Path, root: Path, overrides: Sequence[str]) -> None:
    """Begin the run, or go on with it where it has been begun."""
    if (folder / CONFIG).exists():
        resume_run(folder, [])
    else:
        config = parse(compose_job([*overrides, f"output_root={root}"]))
        runner.run(config, folder, overrides)


def in_child(
    work: Callable[[], None],
    log: Path,
    *,
    board: Board | None = None,
    moment: Moment = NEVER,
    prepare: Callable[[], None] | None = None,
) -> Ended:
    """Do the work in a forked child, which is killed at the moment if it lives so long.

    Args:
        work: what to do.
        log: receives what it prints.
        board: what it was doing is told there.
        moment: when it is killed.
        prepare: changes kdrun in the child.
    """
    began = time.monotonic()
    if board is not None:
        board.clear()
    log.touch()
    child = os.fork()
    if child == 0:
        try:
            redirect(log)
            if prepare is not None:
                prepare()
            if board is not None:
                watch_phases(board)
                arm(board, moment)
            code = guarded(work, traceback_wanted=board is not None)
            sys.stdout.flush()
            sys.stderr.flush()
        except SystemExit as left:
            code = left.code
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            code = 71
        os._exit(code)
    status = wait(child, min(moment.seconds, LIMIT))
    code = os.waitstatus_to_exitcode(status)
    hung = code == -signal.SIGKILL and moment is NEVER
    return Ended(code, time.monotonic() - began, "hung\n" * hung + log.read_text(errors="replace"))


def redirect(log: Path) -> None:
    """Print into the file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def wait(child: int, seconds: float) -> int:
    """The child's status; it is killed after the seconds."""
    with open(os.pidfd_open(child)) as descriptor:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(1000 * seconds):
            os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]
