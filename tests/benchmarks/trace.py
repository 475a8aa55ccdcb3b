"""A profiler's trace of kdrun's steady state: what a step launches, and whether it ever waits.

    python -m tests.benchmarks.trace [--pair resnet20->resnet8] [--precision fp32] [--folder DIR]

The real training loop does some steps that are not counted, then some under torch's profiler, with
a live teacher and with stored outputs. Leaves a trace of each for chrome://tracing or Perfetto, and
tells for each phase how many of torch's operations it calls, the host's time and, on CUDA, the
device's, the kernels that are launched, and the calls in which the host waits for the device or for
its memory; in a steady state there are none.

The profiler itself slows the host down: times are measured by tests.benchmarks.speed.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from kdrun.device import resolve_device, resolve_precision
from kdrun.runs.environment import environment
from kdrun.store.files import write_json
from tests.benchmarks.loops import KdrunLoop
from tests.benchmarks.pairs import PAIRS, prepared
from tests.benchmarks.phases import OWN, watched
from tests.benchmarks.report import print_table, table_of

MARK = "kdrun: "
STEPS = f"{MARK}{OWN}"
WAITS = (
    *("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy"),
    *("cudaMalloc", "cudaFree", "cudaHostAlloc"),
)
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cudaGraphLaunch", "cuLaunchKernel")


class Marks:
    """Names phases in a trace, as a `Clock` times them."""

    def timed(self, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work under the phase's name."""

        @wraps(work)
        def call(*arguments: Any, **options: Any) -> Any:
            with record_function(f"{MARK}{phase}"):
                return work(*arguments, **options)

        return call


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trace, print tables, write files; returns what was found."""
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    precision = options.precision or resolve_precision("auto", device)
    options.folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "format": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": options.seed,
        "environment": environment(device, precision),
        "pair": options.pair,
        "steps": options.steps,
    }
    for name, cache in (("live", "off"), ("cached", "on")):
        with ExitStack() as opened:
            common = {"device": device, "precision": precision, "seed": options.seed}
            parts = opened.enter_context(prepared(PAIRS[options.pair], cache=cache, **common))
            loop = KdrunLoop(parts, opened)
            if cache == "on":
                loop.fill_cache()
            result[name] = traced(loop, options.steps, options.folder / f"{name}.json.gz")
        show(f"{options.pair}, kdrun {name} {precision}", result[name], device)
    write_json(options.folder / "trace.json", result)
    print(f"written to {options.folder}")
    return result


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.trace",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pair", choices=PAIRS, default="resnet20->resnet8")
    parser.add_argument("--steps", type=int, default=10, help="that are traced")
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", type=Path, default=Path("outputs/trace"))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def traced(loop: KdrunLoop, steps: int, file: Path) -> dict[str, Any]:
    """Phases, launches and waits of a step, from the profiler."""
    steps = min(steps, loop.left // 2)  # all in one epoch, with those before
    device = loop.parts.context.device
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if device.type == "cuda" else []
    with loop.turn(), watched(loop, Marks()):
        loop.run(steps, lambda: None)
        with profile(activities=activities) as profiler, record_function(STEPS):
            loop.run(steps, lambda: None)
    profiler.export_chrome_trace(str(file))
    return summary(list(profiler.events() or []), steps)


def summary(events: Sequence[FunctionEvent], steps: int) -> dict[str, Any]:
    """What the events tell of a step."""
    (whole,) = (one for one in events if one.name == STEPS)
    inside = [one for one in events if within(one, whole)]
    phases: dict[str, Counter[str]] = {}
    for event in inside:
        row = phases.setdefault(phase_of(event, whole), Counter())
        row["operations"] += is_operation(event)
        row["host_ms"] += event.self_cpu_time_total / 1000 / steps
        row["device_ms"] += event.self_device_time_total / 1000 / steps
    for row in phases.values():
        row["operations"] /= steps
    names = Counter(event.name for event in inside)
    return {
        "phases": {name: dict(row) for name, row in phases.items()},
        "wall_ms": whole.time_range.elapsed_us() / 1000 / steps,
        "launches": sum(names[name] for name in LAUNCHES) / steps,
        "waits": {name: names[name] / steps for name in WAITS if names[name]},
    }


def within(event: FunctionEvent, whole: FunctionEvent) -> bool:
    """Whether it lies between the first step and the last, on the host."""
    kernel = event.device_type != torch.autograd.DeviceType.CPU
    span, outer = event.time_range, whole.time_range
    return not kernel and outer.start <= span.start and span.end <= outer.end


def phase_of(event: FunctionEvent, whole: FunctionEvent) -> str:
    """The innermost phase around it; on CUDA a thread of its own goes backward."""
    at: FunctionEvent | None = event
    while at is not None:
        if at.name.startswith(MARK):
            return at.name.removeprefix(MARK)
        at = at.cpu_parent
    return OWN if event.thread == whole.thread else "backward"


def is_operation(event: FunctionEvent) -> bool:
    """Whether it is one of torch's and no part of another."""
    parent = event.cpu_parent
    return event.name.startswith("aten::") and not (parent and parent.name.startswith("aten::"))


def show(title: str, found: dict[str, Any], device: torch.device) -> None:
    """Print a table of phases, and on CUDA the launches and waits."""
    cuda = device.type == "cuda"
    names = ("operations", "host_ms", *(["device_ms"] if cuda else []))
    table = table_of(f"{title}: a step's", *(name.replace("_", " ") for name in names))
    for phase, row in found["phases"].items():
        table.add_row(phase, *(f"{row[name]:.2f}".removesuffix(".00") for name in names))
    print_table(table)
    if cuda:
        busy = sum(row["device_ms"] for row in found["phases"].values()) / found["wall_ms"]
        waits = [f"{name} {count:g} times a step" for name, count in found["waits"].items()]
        print(
            f"{found['launches']:g} kernels launched a step, the device busy {busy:.0%} of the "
            f"time; the host waits: {', '.join(waits) or 'never'}"
        )


if __name__ == "__main__":
    main()
