"""Optional sinks of the epoch lines beside `metrics.jsonl`: TensorBoard, MLflow, Weights & Biases.

A sink is a guest: without its package nothing starts, and what fails in it later costs a line.
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
    """Where epochs go."""

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Take the numbers of an epoch."""
        ...

    def close(self) -> None:
        """Write what is held back."""
        ...


def check_logger(name: str) -> None:
    """Refuse a sink whose package is missing, before anything is trained.

    Raises:
        ConfigError: says how to install it.
    """
    row = LOGGERS[name]
    if row.package is not None and find_spec(row.package) is None:
        raise ConfigError(f"logger={name}: is not installed: {row.remedy}")


@contextmanager
def tracking(
    name: str, folder: Path, config: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[Callable[[Line], None]]:
    """What takes the lines of `metrics.jsonl` for the sink; a sink that fails is dropped.

    Args:
        name: of the sink, or `none`.
        folder: the run's.
        config: dotted keys and values.
        say: tells the user why a sink was dropped.
    """
    open_sinks: list[Sink] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            told = first_line(error)
            say(f"logger={name} is left out from here on: {told}")
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
