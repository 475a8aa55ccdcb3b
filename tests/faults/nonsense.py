"""Sealed nonsense: right checksums around values that kdrun never writes.

    python -m tests.faults.nonsense --trials 500 --seed 0

A value of a real file becomes NaN, null, text, a list, an object, negative, huge or deeply nested,
a key is left out or added, and every checksum is made right again. Each command on the run then
either does what it does on the whole run, or says in one line what is wrong and leaves with a
documented code: never 70, never a traceback, never another number.
"""

import argparse
import contextlib
import hashlib
import io
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from kdrun.cli.entry import dispatch, guarded
from kdrun.config.compose import compose_job
from kdrun.config.parse import parse
from kdrun.runs import runner
from kdrun.store.files import SEAL, file_entry
from tests.faults.crash_matrix import Failure

SMALL = (
    *("teacher=mlp", "teacher.width=8", "student=mlp", "student.width=4", "train.epochs=1"),
    *("train.device=cpu", "train.precision=fp32", "teacher.min_accuracy=0", "dataset.limit=200"),
    *("temperature=auto", "analysis=basic"),
)
CODES = (2, 3, 4, 6)
DEEP = "\0deep\0"
FILES = (
    *("run/summary.json", "run/plan.json", "run/environment.json", "run/temperature.json"),
    *("run/analysis.json", "run/status.json", "run/metrics.jsonl"),
    *("store/*/summary.json", "store/*/stage.json", "store/*/metrics.jsonl"),
    *("store/*/checkpoints/*/manifest.json", "cache/*/0*.json", "cache/*/key.json"),
)
UNSEALED = ("status.json", "stage.json", "key.json")
NONSENSE: dict[str, Callable[[Any], Any]] = {
    "NaN": lambda value: float("nan"),
    "Infinity": lambda value: float("inf"),
    "null": lambda value: None,
    "text": lambda value: "nonsense" if not isinstance(value, str) else 7,
    "list": lambda value: [[1], "x"] if not isinstance(value, list) else {"x": 1},
    "object": lambda value: {"x": [1]} if not isinstance(value, dict) else [1],
    "negative": lambda value: -1 - abs(value) if type(value) in (int, float) else -1,
    "huge": lambda value: 10**400,
    "large": lambda value: 10**18,
    "deep": lambda value: DEEP,
    "surrogate": lambda value: "\ud800",
    "true": lambda value: True if value is not True else "yes",
}
COMMANDS = {
    "verify": ["verify", "ROOT"],
    "report": ["report", "ROOT/run"],
    "table": ["report", "ROOT/run", "--format", "json"],
    "resume": ["resume", "ROOT/run"],
    "analyze": ["analyze", "ROOT/run"],
    "export": ["export", "ROOT/run", "--format", "safetensors"],
}
WEIGHTS = {"verify": 6, "table": 6, "resume": 6, "report": 2, "analyze": 1, "export": 1}
"""How often each is tried; figures and measures take seconds."""


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of nested data."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(inside):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def spoil(data: Any, draw: random.Random) -> str:
    """Put nonsense somewhere into the data; says what and where."""
    spots = list(places(data))
    # Of a long list one entry says as much as all: keys first, so that each has its turn.
    name = draw.choice(sorted({str(key) for _, key in spots if key != SEAL}))
    container, key = draw.choice([spot for spot in spots if str(spot[1]) == name])
    kind = draw.choice([*NONSENSE, "missing", "added"])
    if kind == "missing":
        del container[key]
    elif kind == "added" and isinstance(container, dict):
        container["added by nobody"] = [1]
    else:
        container[key] = NONSENSE["null" if kind == "added" else kind](container[key])
    return f"{kind} at {name}"


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """The object with the checksum of its content, whatever that is."""
    content = {key: value for key, value in data.items() if key != SEAL}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return content | {SEAL: hashlib.sha256(text.encode()).hexdigest()}


def as_text(data: Any, depth: int) -> str:
    """JSON with NaN, and the deep place as deep as that."""
    return json.dumps(data).replace(json.dumps(DEEP), "[" * depth + "]" * depth)


def seal_around(path: Path) -> None:
    """Make the checksums right that the folder's summary has of the file."""
    summary = path.parent / "summary.json"
    if summary == path or not summary.exists():
        return
    content = json.loads(summary.read_bytes())
    if path.name in content["files"]:
        content["files"][path.name] = file_entry(path)
        summary.write_text(json.dumps(sealed(content)))


def spoil_file(path: Path, draw: random.Random) -> str:
    """Put nonsense into one file and seal it again."""
    depth = draw.choice((70, 200, 5000))
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        told = spoil(draw.choice(lines), draw)
        text = "".join(f"{as_text(line, depth)}\n" for line in lines)
    else:
        data = json.loads(path.read_bytes())
        told = spoil(data, draw)
        text = as_text(data if path.name in UNSEALED else sealed(data), depth)
    path.write_text(text)
    seal_around(path)
    return told


class Nonsense:
    """A finished run, and what each command says of it."""

    def __init__(self, seed: int, work: Path) -> None:
        self.draw = random.Random(seed)
        self.work = work
        self.ended: Counter[str] = Counter()
        whole = work / "whole"
        runner.run(parse(compose_job([*SMALL, f"output_root={whole}"])), whole / "run", SMALL)
        self.expected = {name: self.used(self.copied(), words) for name, words in COMMANDS.items()}
        for name, (code, _, errors) in self.expected.items():
            if code:
                raise Failure(f"{name} of the whole run: {errors}")

    def copied(self) -> Path:
        """A copy to be spoilt."""
        shutil.rmtree(self.work / "copy", ignore_errors=True)
        return Path(shutil.copytree(self.work / "whole", self.work / "copy", symlinks=True))

    def used(self, root: Path, words: Sequence[str]) -> tuple[int, str, str]:
        """The exit code of a command, its result and what it says on stderr."""
        out, errors = io.StringIO(), io.StringIO()
        given = [word.replace("ROOT", str(root)) for word in words]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = guarded(lambda: dispatch(given), traceback_wanted=False)
        page = root / "run" / "report.html"
        told = page.read_text() if words[0] == "report" and page.exists() else ""
        told = re.sub(r"<svg.*?</svg>", "", told, flags=re.DOTALL)
        # What was measured again has its own latency and seconds.
        measured = words[0] in ("analyze", "export")
        return code, "" if measured else out.getvalue() + told, errors.getvalue()

    def trial(self) -> None:
        """Spoil a file, use the run, judge.

        Raises:
            Failure: a command took it wrongly.
        """
        root = self.copied()
        path = self.draw.choice(sorted(root.glob(self.draw.choice(FILES))))
        name = self.draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        what = f"{name}, {path.relative_to(root)}, {spoil_file(path, self.draw)}"
        code, told, errors = self.used(root, COMMANDS[name])
        lines = errors.splitlines()
        if code not in (0, *CODES):
            raise Failure(f"{what}: code {code}: {errors}")
        if code and (not lines or not all(line.startswith("kdrun: ") for line in lines)):
            raise Failure(f"{what}: not in lines: {errors}")
        if code == 0 and told != self.expected[name][1]:
            raise Failure(f"{what}: another result without a word:\n{difference(self, name, told)}")
        self.ended[f"code {code}"] += 1


def difference(trials: Nonsense, name: str, told: str) -> str:
    """The lines that only one of both has."""
    before = trials.expected[name][1].splitlines()
    new = [line for line in told.splitlines() if line not in before]
    return "\n".join(new[:6])


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the trials; leave with 1 where one was taken wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began, failures = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as work:
        with contextlib.redirect_stdout(io.StringIO()):
            trials = Nonsense(given.seed, Path(work))
        for _ in range(given.trials):
            try:
                trials.trial()
            except Failure as error:
                print(error, flush=True)
                failures += 1
    counts = ", ".join(f"{name} {count}" for name, count in sorted(trials.ended.items()))
    seconds = time.monotonic() - began
    print(f"{given.trials} trials in {seconds:.0f} s: {counts}, {failures} taken wrongly")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
