"""Optional sinks of the epoch lines beside `metrics.jsonl`: TensorBoard, MLflow, Weights & Biases.

A sink is a guest: without its package nothing starts, and what fails in it later costs a line.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

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


class TensorBoard:
    """Event files in the run's folder; a resumed run says all its epochs again."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

        target = folder / "tensorboard"
        shutil.rmtree(target, ignore_errors=True)
        self.writer = SummaryWriter(str(target))  # type: ignore[no-untyped-call]
        rows = "".join(f"    {key}: {value}\n" for key, value in config.items())
        self.writer.add_text("config", rows)  # type: ignore[no-untyped-call]

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """A scalar each."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)  # type: ignore[no-untyped-call]
        self.writer.flush()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the file."""
        self.writer.close()  # type: ignore[no-untyped-call]


class Mlflow:
    """A run at MLFLOW_TRACKING_URI, or else in a database in the run's folder."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import mlflow  # noqa: PLC0415

        if "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').absolute()}")
        self.mlflow = mlflow
        mlflow.set_experiment("kdrun")
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params({key: str(value)[:500] for key, value in config.items()})

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """A metric each."""
        self.mlflow.log_metrics({k.replace(":", "_"): v for k, v in values.items()}, step=epoch)

    def close(self) -> None:
        """End the run."""
        self.mlflow.end_run()


class Wandb:
    """An offline run in the run's folder, which `wandb sync` uploads; WANDB_MODE overrides it."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb  # noqa: PLC0415

        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "kdrun"),
            name=folder.name,
            dir=str(folder),
            config=dict(config),
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """One step; the epochs of several stages follow each other."""
        self.run.log({**values, "epoch": epoch})

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


SINKS: dict[str, Callable[[Path, Mapping[str, Any]], Sink]] = {
    "tensorboard": TensorBoard,
    "mlflow": Mlflow,
    "wandb": Wandb,
}


def check_logger(name: str) -> None:
    """Refuse a sink whose package is missing, before anything is trained.

    Raises:
        ConfigError: says how to install it.
    """
    if name in SINKS and find_spec(name) is None:
        raise ConfigError(f"logger={name}: is not installed: pip install 'kdrun[{name}]'")


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

    if name in SINKS:
        guarded(lambda: open_sinks.append(SINKS[name](folder, config)))
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
