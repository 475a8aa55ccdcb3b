"""Training steps of kdrun, of bare networks, of a plain loop and of torchdistill, side by side.

    python -m tests.benchmarks.speed [--pairs resnet20->resnet8] [--precision fp32] [--json FILE]

All contenders of a pair take turns in one process, a few steps each, for many rounds, on the same
images and with the same batch size; medians and quartiles are over steps, ratios over rounds.
fp32 is like for like; bf16 is what is fastest. kdrun's contenders are the real training loop with
progress bar, checks and schedules; the bare ones are the networks alone in kdrun's memory layout,
the teacher folded and fused. The plain loop and torchdistill load PIL images by torch's DataLoader.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from kdrun.device import resolve_device, resolve_precision
from kdrun.runs.environment import environment
from kdrun.store.files import write_json
from tests.benchmarks.bare import bare_contenders
from tests.benchmarks.loops import KdrunLoop, kdrun_contender
from tests.benchmarks.memory import extra_memory
from tests.benchmarks.pairs import PAIRS, Pair, prepared
from tests.benchmarks.peers import default_workers, peer_contenders, torchdistill_is_here
from tests.benchmarks.phases import phases_of
from tests.benchmarks.report import show_pair
from tests.benchmarks.rounds import Contender, Times, ratio, spread, time_in_rounds, time_turn

PHASE_STEPS = 5


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print tables, write JSON where asked; returns what was measured."""
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    fastest = resolve_precision("auto", device)
    precisions = options.precision or list(dict.fromkeys(["fp32", fastest]))
    workers = default_workers(device) if options.workers is None else options.workers
    if not torchdistill_is_here():
        print("torchdistill is not installed (pip install 'kdrun[bench]'): going on without it")
    result: dict[str, Any] = {
        "format": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": options.seed,
        "environment": environment(device, "+".join(precisions)),
        "torchdistill": version("torchdistill") if torchdistill_is_here() else None,
        "loader_workers": workers,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32 if device.type == "cuda" else None,
        "pairs": [],
    }
    for name in options.pairs:
        until = time.monotonic() + 60 * options.minutes / len(options.pairs)
        measured = measure_pair(PAIRS[name], options, device, precisions, workers, until)
        result["pairs"].append(measured)
        show_pair(measured)
    if options.json is not None:
        write_json(options.json, result)
        print(f"written to {options.json}")
    return result


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--rounds", type=int, default=20, help="at most so many")
    parser.add_argument("--steps", type=int, help="of a turn; by default the pair's own")
    parser.add_argument("--minutes", type=float, default=7, help="after which no round begins")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--workers", type=int, help="of the peers' loaders; 0 on a CPU, 8 on a GPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def measure_pair(
    pair: Pair,
    options: argparse.Namespace,
    device: torch.device,
    precisions: Sequence[str],
    workers: int,
    until: float,
) -> dict[str, Any]:
    """Everything that is measured of a pair, as JSON data."""
    steps = options.steps or pair.steps
    with ExitStack() as opened:
        contenders, loops = enter(pair, opened, device, precisions, workers, options.seed)
        batch_size = loops[0].parts.batch_size
        times = time_in_rounds(
            contenders, rounds=options.rounds, steps=steps, device=device, until=until
        )
        rows = [row(contender, times, batch_size, device) for contender in contenders]
        breakdown = {
            f"kdrun {kind} {loop.parts.context.precision}": phases_of(loop, PHASE_STEPS)
            for kind, loop in zip(("live", "cached") * len(precisions), loops, strict=True)
        }
    return {
        "pair": pair.name,
        "image_size": pair.image_size,
        "batch_size": batch_size,
        "steps_of_a_turn": steps,
        "rounds": len(times[contenders[0].title]),
        "contenders": rows,
        "ratios": ratios(times, precisions),
        "phases": breakdown,
    }


def enter(
    pair: Pair,
    opened: ExitStack,
    device: torch.device,
    precisions: Sequence[str],
    workers: int,
    seed: int,
) -> tuple[list[Contender], list[KdrunLoop]]:
    """The contenders, and kdrun's loops among them: live and cached for each precision."""
    contenders, loops = [], []
    for precision in precisions:
        for kind, cache in (("live", "off"), ("cached", "on")):
            parts = opened.enter_context(
                prepared(pair, device=device, precision=precision, cache=cache, seed=seed)
            )
            loops.append(KdrunLoop(parts, opened))
            if cache == "on":
                loops[-1].fill_cache()
            contenders.append(kdrun_contender(f"kdrun {kind}", loops[-1]))
        contenders += bare_contenders(parts)
    contenders += peer_contenders(parts, workers, precisions)
    return contenders, loops


def row(
    contender: Contender, times: Times, batch_size: int, device: torch.device
) -> dict[str, Any]:
    """What was measured of one contender."""
    flat = [ms for turn in times[contender.title] for ms in turn]
    found = spread(flat)
    return {
        "name": contender.name,
        "precision": contender.precision,
        "milliseconds": found,
        "steps": len(flat),
        "images_per_second": 1000 * batch_size / found["median"],
        "extra_memory_mib": extra_memory(lambda: time_turn(contender, 1, device), device),
    }


def ratios(times: Times, precisions: Sequence[str]) -> list[dict[str, Any]]:
    """How kdrun compares with each peer, and with the bare networks it cannot beat."""
    fastest = precisions[-1]
    compared = []
    for precision in precisions:
        compared += [
            (f"kdrun live {precision}", f"bare teacher + student {precision}"),
            (f"kdrun cached {precision}", f"bare student {precision}"),
            (f"torchdistill {precision}", f"kdrun live {precision}"),
            (f"torchdistill {precision}", f"kdrun cached {precision}"),
        ]
    for peer in ("plain torchvision loop fp32", "torchdistill fp32"):
        for ours in ("live", "cached"):
            for precision in dict.fromkeys(["fp32", fastest]):
                compared.append((peer, f"kdrun {ours} {precision}"))
    return [
        {"of": above, "to": below, **ratio(times, above, below)}
        for above, below in dict.fromkeys(compared)
        if {above, below} <= times.keys()
    ]


if __name__ == "__main__":
    main()
