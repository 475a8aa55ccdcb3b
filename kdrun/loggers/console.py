"""Console of a run: a progress bar on a terminal, one line per epoch elsewhere."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from kdrun.escaping import printable_lines
from kdrun.loggers.streams import output_error
from kdrun.loggers.tables import PrintableConsole
from kdrun.store.files import append_text


class Reporter:
    """Output to the console and, as plain text, to the run's log.

    Args:
        prefix: of the log's lines.
    """

    def __init__(self, console: Console, log: Path | None = None, prefix: str = "") -> None:
        self.console = console
        self.log = log
        self.prefix = prefix
        self.alone = False

    def say(self, text: str, style: str | None = None) -> None:
        """Print one line and log it with the time."""
        text = printable_lines(text)
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
        self.record(text)
        if not self.alone and (error := output_error()):
            self.alone = True
            self.record(f"stdout ended ({error.strerror}); the work continues, noted here alone")

    def record(self, text: str) -> None:
        """Log without printing."""
        if self.log is not None:
            line = f"{datetime.now():%Y-%m-%d %H:%M:%S} {self.prefix}{text}"
            append_text(self.log, f"{printable_lines(line)}\n")

    def show(self, renderable: RenderableType) -> None:
        """Print a table and log it as text."""
        self.console.print(renderable)
        plain = PrintableConsole(width=160, color_system=None, force_terminal=False, markup=False)
        with plain.capture() as capture:
            plain.print(renderable)
        self.record("\n" + capture.get())

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Report log messages of the package, such as downloads, and warnings in the block."""
        logger, handler = logging.getLogger("kdrun"), _ReporterHandler(self)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *where: self.say(
                    str(message), style="yellow"
                )
                yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    @contextmanager
    def stage(self, title: str, epochs: int, images: int, done: int) -> Iterator["StageProgress"]:
        """Show the progress of a stage of `epochs` times `images` images, `done` of them past."""
        progress = StageProgress(self, title, epochs, images, done)
        with progress.bar:
            yield progress
        progress.leave_line()


def redraws(console: Console) -> bool:
    """Whether the console is a terminal that can redraw a line; TERM=dumb cannot."""
    return console.is_terminal and not console.is_dumb_terminal


class _ReporterHandler(logging.Handler):
    """Log handler that forwards messages to a reporter."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(logging.INFO)
        self.reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self.reporter.say(record.getMessage())


class StageProgress:
    """The progress of one stage."""

    def __init__(self, reporter: Reporter, title: str, epochs: int, images: int, done: int) -> None:
        self.reporter = reporter
        self.title = title
        self.epochs = epochs
        self.images = images
        self.done = self.first = done
        self.began = time.monotonic()
        self.loss = ""
        self.accuracy = ""
        self.newest = ""
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[epoch]}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(compact=True),
            console=reporter.console,
            transient=True,
            refresh_per_second=4,  # each redraw takes a millisecond of training
            disable=not redraws(reporter.console),
        )
        self.task = self.bar.add_task(
            title, total=epochs * images, completed=done, epoch="", rate="", values=""
        )

    def advance(self, images: int, means: dict[str, float] | None) -> None:
        """Count the images of an update and show `means`, the newest values of the epoch."""
        self.done += images
        if means is not None:
            self.loss = f"loss {means['total']:.3f}"
        if self.bar.disable:
            return
        epoch = min(self.epochs, self.done // self.images + 1)
        rate = (self.done - self.first) / max(1e-9, time.monotonic() - self.began)
        self.bar.update(
            self.task,
            completed=self.done,
            epoch=f"epoch {epoch}/{self.epochs}",
            rate=f"{rate:,.0f} img/s",
            values=f"{self.loss}{self.accuracy}",
        )

    def epoch_done(self, line: dict[str, Any]) -> None:
        """Show a finished epoch: in the bar on a terminal, else as a line."""
        validation = line["validation_accuracy"]
        self.accuracy = "" if validation is None else f" val {validation:.2%}"
        self.newest = epoch_text(line, self.epochs)
        text = f"{self.title}  {self.newest}  {self.time_left()}"
        if self.bar.disable:
            self.reporter.say(text)
        else:
            self.reporter.record(text)

    def leave_line(self) -> None:
        """Replace the progress bar by the last epoch on a terminal."""
        if not self.bar.disable and self.newest:
            self.reporter.console.print(f"  {self.newest}", style="dim", highlight=False)

    def time_left(self) -> str:
        """Estimate of the remaining time: `left 1:05`."""
        past = self.done - self.first
        rate = (time.monotonic() - self.began) / max(1, past)
        return f"left {clock(rate * (self.epochs * self.images - self.done))}"


def epoch_text(line: dict[str, Any], epochs: int) -> str:
    """Format one line of `metrics.jsonl` for the console."""
    validation = line["validation_accuracy"]
    parts = [
        f"epoch {line['epoch']:>{len(str(epochs))}}/{epochs}",
        f"loss {line['loss']:.4f}",
        f"train {line['train_accuracy']:.2%}",
        *([] if validation is None else [f"val {validation:.2%}"]),
        f"{line['images_per_second']:,.0f} images/s",
    ]
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Format seconds as m:ss or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
