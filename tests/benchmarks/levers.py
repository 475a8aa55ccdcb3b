"""What each lever of kdrun's training step is worth, added one after another.

    python -m tests.benchmarks.levers [--pair resnet20->resnet8] [--minutes 4] [--json FILE]

The first contender is a plain torchvision loop; each of the others is kdrun's real loop with the
levers down to its own. The last trains several students side by side, and its time is a student's.
"""

import argparse
import copy
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from kdrun.device import resolve_device, resolve_precision
from kdrun.runs.environment import environment
from kdrun.runs.lockstep.shared_pass import SharedPass
from kdrun.store.files import write_json
from tests.benchmarks.loops import KdrunLoop, kdrun_contender
from tests.benchmarks.pairs import PAIRS, Pair, Parts, prepared
from tests.benchmarks.peers import default_workers, peer_contenders
from tests.benchmarks.report import levers_table, print_table
from tests.benchmarks.rounds import Contender, Mark, ratio, spread, time_in_rounds

STUDENTS = 9


@dataclass(frozen=True)
class Lever:
    """One setting of the loop: all that was there before, and one thing more."""

    name: str
    precision: str
    channels_last: bool = True
    folded: bool = True
    fused: bool = True
    stored: bool = False


def levers(fastest: str) -> list[Lever]:
    """From images in memory to stored outputs."""
    slow = Lever("images in memory", "fp32", channels_last=False, folded=False, fused=False)
    steps = [
        slow,
        replace(slow, name="+ channels_last", channels_last=True),
        Lever("+ teacher's BatchNorm folded", "fp32", fused=False),
        Lever("+ teacher's convolutions fused", "fp32"),
    ]
    if fastest != "fp32":
        steps.append(Lever(f"+ {fastest}", fastest))
    return [*steps, Lever("+ stored outputs", fastest, stored=True)]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print a table, write JSON where asked; returns what was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.levers")
    parser.add_argument("--pair", choices=PAIRS, default="resnet20->resnet8")
    parser.add_argument("--rounds", type=int, default=20, help="at most so many")
    parser.add_argument("--minutes", type=float, default=4, help="after which no round begins")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    fastest = resolve_precision("auto", device)
    pair = PAIRS[options.pair]
    with ExitStack() as opened:
        contenders = entered(pair, opened, device, fastest, options.seed)
        times = time_in_rounds(
            contenders,
            rounds=options.rounds,
            steps=pair.steps,
            device=device,
            until=time.monotonic() + 60 * options.minutes,
        )
    measured = {
        "format": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": options.seed,
        "environment": environment(device, f"fp32+{fastest}"),
        "pair": pair.name,
        "rounds": len(times[contenders[0].title]),
        "levers": rows(contenders, times),
    }
    print_table(levers_table(measured))
    if options.json is not None:
        write_json(options.json, measured)
    return measured


def entered(
    pair: Pair, opened: ExitStack, device: torch.device, fastest: str, seed: int
) -> list[Contender]:
    """The plain loop, then kdrun's with one lever more each time, then its lockstep."""
    contenders: list[Contender] = []
    for lever in levers(fastest):
        parts = opened.enter_context(
            prepared(
                pair,
                device=device,
                precision=lever.precision,
                cache="on" if lever.stored else "off",
                seed=seed,
                options=[f"train.channels_last={lever.channels_last}".lower()],
            )
        )
        contenders += (
            [] if contenders else peer_contenders(parts, default_workers(device), ["fp32"])[:1]
        )
        contenders.append(kdrun_contender(lever.name, loop_of(lever, parts, opened)))
    live = opened.enter_context(
        prepared(pair, device=device, precision=fastest, cache="off", seed=seed)
    )
    return [*contenders, in_lockstep(live, opened)]


def loop_of(lever: Lever, parts: Parts, opened: ExitStack) -> KdrunLoop:
    """kdrun's loop with the lever's settings."""
    with ExitStack() as off:
        if not lever.folded:
            off.enter_context(patch("kdrun.teachers.teacher.fold_batchnorm", unfolded))
        if not lever.fused:
            off.enter_context(patch("kdrun.teachers.teacher.fuse", lambda *_: None))
        loop = KdrunLoop(parts, opened)
    if lever.stored:
        loop.fill_cache()
    return loop


def unfolded(model: torch.nn.Module, *_: Any, **__: Any) -> torch.nn.Module:
    """In place of folding."""
    return copy.deepcopy(model)


def in_lockstep(parts: Parts, opened: ExitStack) -> Contender:
    """Students side by side on one live teacher."""
    context = replace(parts.context, inputs=SharedPass(STUDENTS, accumulate=1))
    teacher = parts.teacher(kept=1)
    loops = []
    for number in range(STUDENTS):
        stage_run = replace(parts.stage_run, folder=parts.stage_run.folder / str(number))
        stage_run.folder.mkdir()
        loops.append(
            KdrunLoop(replace(parts, stage_run=stage_run, context=context), opened, teacher)
        )

    def run(steps: int, mark: Mark) -> None:
        for _ in range(steps):
            for loop in loops:
                loop.run(1, lambda: None)
            mark()

    return Contender(f"{STUDENTS} students in lockstep, each", context.precision, run)


def rows(contenders: Sequence[Contender], times: dict[str, list[list[float]]]) -> list[Any]:
    """Milliseconds of a student's step, and the gain over the contender before and the first."""
    last = contenders[-1].title
    times[last] = [[ms / STUDENTS for ms in turn] for turn in times[last]]
    first, found = contenders[0], []
    for before, one in zip([first, *contenders], contenders, strict=False):
        found.append(
            {
                "name": one.name,
                "precision": one.precision,
                "milliseconds": spread([ms for turn in times[one.title] for ms in turn]),
                "gain": ratio(times, before.title, one.title),
                "gain_in_all": ratio(times, first.title, one.title),
            }
        )
    return found


if __name__ == "__main__":
    main()
