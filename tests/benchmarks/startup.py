"""How long a person waits: for help, for the fault of a setting, and for the first update.

    python -m tests.benchmarks.startup [--rounds 5]

Each is a new process of the command, with warm disk caches after a first round that does not count.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

COMMAND = "from kdrun.cli import main; main()"
# Leaves as soon as the first update of the first stage is done.
FIRST_UPDATE = """
import os, kdrun.training.loop
update = kdrun.training.loop.apply_update
def first(*arguments):
    update(*arguments)
    os._exit(9)
kdrun.training.loop.apply_update = first
"""
CASES = {
    "kdrun --help": (COMMAND, ["--help"], 0),
    "kdrun loss.T=0": (COMMAND, ["loss.T=0"], 2),
    "kdrun, to the first update": (FIRST_UPDATE + COMMAND, [], 9),
}


def seconds(code: str, words: Sequence[str], leaves_with: int) -> float:
    """Wall time of one process, in a new folder; it has to leave with the code that it is for."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        taken = time.perf_counter() - began
    assert done.returncode == leaves_with, done.stderr
    return taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Time the cases in turns; print medians and ranges."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.startup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(options.rounds + 1):
        for name, case in CASES.items():
            taken = seconds(*case)
            if number > 0:
                found[name].append(taken)
    table = Table("", "s", "range")
    for name, values in found.items():
        table.add_row(
            name, f"{statistics.median(values):.2f}", f"{min(values):.2f} - {max(values):.2f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
