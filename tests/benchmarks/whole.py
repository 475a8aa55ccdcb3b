"""Epochs of whole runs beside the bare networks: what is lost between the steps is seen here.

    python -m tests.benchmarks.whole [--pair resnet20->resnet8] [--rounds 3] [--json FILE]

Each contender is a process of its own, in turns: `kdrun` as a user calls it, with checkpoints,
validation and its threads, and the bare loops. Of a run counts the last epoch of the student (with
a live teacher) and of its control.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.table import Table

from kdrun.device import resolve_device, resolve_precision
from kdrun.runs.environment import environment
from kdrun.store.files import read_json_lines, write_json
from tests.benchmarks.bare import bare_contenders
from tests.benchmarks.pairs import PAIRS, Pair, prepared
from tests.benchmarks.report import print_table, table_of
from tests.benchmarks.rounds import spread, time_turn

EPOCHS = 3
SIDES = {"student": "bare teacher + student", "control": "bare student"}
"""The stages of a run, and what each is held against."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print a table, write JSON where asked; returns what was measured."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.whole",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pair", choices=PAIRS, default="resnet20->resnet8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    device, pair = resolve_device(options.device), PAIRS[options.pair]
    found: dict[str, list[float]] = {side: [] for side in (*SIDES, *SIDES.values())}
    for _ in range(options.rounds):
        for side, rate in (run_rates(pair, device, options.seed) | bare_rates(options)).items():
            found[side].append(rate)
    measured = {
        "format": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": options.seed,
        "environment": environment(device, resolve_precision("auto", device)),
        "pair": pair.name,
        "images_per_second": {side: spread(rates) for side, rates in found.items()},
        "time_over_bare": {
            side: spread([b / ours for ours, b in zip(found[side], found[bare], strict=True)])
            for side, bare in SIDES.items()
        },
    }
    print_table(table(measured))
    if options.json is not None:
        write_json(options.json, measured)
    return measured


def run_rates(pair: Pair, device: torch.device, seed: int) -> dict[str, float]:
    """Images a second in the last epoch of a run's student and control."""
    with TemporaryDirectory(prefix="kdrun-whole-") as folder:
        size = pair.gpu_batch_size if device.type == "cuda" else pair.batch_size
        words = [
            *("dataset=fake", f"dataset.num_classes={pair.classes}", "cache.mode=off"),
            *(f"dataset.num_images={pair.batches * size}", "dataset.augment=crop_flip"),
            *(f"dataset.image_size={pair.image_size}", "teacher.min_accuracy=0", "analysis=off"),
            *(f"teacher={pair.teacher}", f"student={pair.student}", f"train.batch_size={size}"),
            *(f"train.device={device}", f"train.seed={seed}", f"train.epochs={EPOCHS}"),
            f"hydra.run.dir={folder}/run",
        ]
        child("-c", "from kdrun.cli import main; main()", *words, folder=folder)
        lines = read_json_lines(Path(folder) / "run" / "metrics.jsonl")
    last = {line["role"]: line for line in lines if line["epoch"] == EPOCHS}
    return {side: last[side]["images_per_second"] for side in SIDES}


def bare_rates(options: argparse.Namespace) -> dict[str, float]:
    """Images a second of the bare loops, each in a process of its own too."""
    call = f"print_bare({options.pair!r}, {options.device!r}, {options.seed})"
    code = f"from tests.benchmarks.whole import print_bare; {call}"
    rates: dict[str, float] = json.loads(child("-c", code))
    return rates


def print_bare(name: str, device_name: str, seed: int) -> None:
    """Print the bare loops' images a second as JSON."""
    device, pair = resolve_device(device_name), PAIRS[name]
    precision, rates = resolve_precision("auto", device), {}
    with prepared(pair, device=device, precision=precision, cache="off", seed=seed) as parts:
        for contender in bare_contenders(parts):
            time_turn(contender, 2, device)
            times = time_turn(contender, pair.batches, device)
            rates[contender.name] = 1000 * parts.batch_size * len(times) / sum(times)
    print(json.dumps(rates))


def child(*words: str, folder: str | None = None) -> str:
    """What a Python process prints; its failure is ours."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def table(measured: dict[str, Any]) -> Table:
    """A row a stage."""
    name = f"{measured['pair']}, {measured['environment']['precision']}"
    shown = table_of(name, "images/s", "bare images/s", "time over bare", "quartiles")
    for side, bare in SIDES.items():
        ours, theirs = (measured["images_per_second"][one]["median"] for one in (side, bare))
        over = measured["time_over_bare"][side]
        quartiles = f"{over['lower']:.2f} - {over['upper']:.2f}"
        shown.add_row(side, f"{ours:.0f}", f"{theirs:.0f}", f"{over['median']:.2f}", quartiles)
    return shown


if __name__ == "__main__":
    main()
