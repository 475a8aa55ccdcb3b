"""Optional sinks of epoch metrics besides `metrics.jsonl`: TensorBoard, MLflow, W&B.

A missing package is an error before training; a later failure only disables the sink.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from kdrun.catalog.loggers import LOGGERS
from kdrun.errors import ConfigError, first_line

Line = Mapping[str, Any]


class Sink(Protocol):
    """Receiver of epoch metrics."""

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Log the numbers of an epoch."""
        ...

    def close(self) -> None:
        """Flush and close the sink."""
        ...


def check_logger(name: str) -> None:
    """Check that a sink's package is installed.

    Raises:
        ConfigError: it is missing; the message names the remedy.
    """
    row = LOGGERS[name]
    if row.package is not None and find_spec(row.package) is None:
        raise ConfigError(f"logger={name} is not installed: {row.remedy}")


@contextmanager
def tracking(
    name: str, folder: Path, config: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[Callable[[Line], None]]:
    """Open a sink and yield its function for lines of `metrics.jsonl`; drop it on failure.

    Args:
        name: of the sink, or `none`.
        folder: the run's.
        config: dotted keys and values.
        say: reports to the user why a sink was dropped.
    """
    open_sinks: list[Sink] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            say(f"logger={name} is disabled for the rest of the run: {first_line(error)}")
            open_sinks.clear()

    def take(line: Line) -> None:
        for sink in tuple(open_sinks):
            guarded(lambda sink=sink: sink.log(numbers(line), line["epoch"]))  # type: ignore[misc]

    row = LOGGERS[name]
    if row.code is not None:
        guarded(lambda: open_sinks.append(row.load()(folder, config)))
    try:
        yield take
    finally:
        for sink in tuple(open_sinks):
            guarded(sink.close)


def numbers(line: Line) -> dict[str, float]:
    """The numbers of an epoch by name: `1-student-mlp/loss`, `1-student-mlp/soft/raw`."""
    place = f"{line['stage']}-{line['role']}-{line['arch']}"
    flat = dict(line) | {
        f"{term}/{kind}": value
        for term, values in line["terms"].items()
        for kind, value in values.items()
    }
    left_out = ("stage", "epoch", "update")
    return {
        f"{place}/{key}": float(value)
        for key, value in flat.items()
        if isinstance(value, int | float) and key not in left_out
    }
