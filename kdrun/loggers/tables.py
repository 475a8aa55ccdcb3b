"""Tables and number formats for the terminal."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from kdrun.escaping import printable_lines


def percent(fraction: float | None) -> str:
    """Format a fraction as `97.24%`, or a dash for None."""
    return "-" if fraction is None else f"{fraction:.2%}"


def count(number: float) -> str:
    """Format a count in three digits: `11.7 M`."""
    for unit in ("", " k", " M", " G"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g} T"


def times(ratio: float) -> str:
    """Format the size ratio of teacher to student: `3.5x smaller` or `2x larger`."""
    return f"{ratio:.3g}x smaller" if ratio >= 1 else f"{1 / ratio:.3g}x larger"


class FittedTable(Table):
    """Table that drops columns instead of truncating all of them if too wide.

    Attributes:
        spare: heads of the columns to drop, in order.
    """

    spare: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the columns that fit."""
        shown, gone = self, []
        for head in self.spare:
            if shown.needed(console, options) <= options.max_width:
                break
            if any(column.header == head for column in shown.columns):
                shown = shown.without(head)
                gone.append(head)
        if gone:
            shown.caption = f" no room for {', '.join(gone)}"
        yield from Table.__rich_console__(shown, console, options)

    def needed(self, console: Console, options: ConsoleOptions) -> int:
        """Width without truncated columns."""
        plenty = options.update_width(1000)
        widths = [self._measure_column(console, plenty, column) for column in self.columns]
        return self._extra_width + sum(
            width.maximum if column.no_wrap else width.minimum
            for column, width in zip(self.columns, widths, strict=True)
        )

    def without(self, head: str) -> "FittedTable":
        """Copy the table without a column."""
        shown = copy(self)
        kept = [column for column in self.columns if column.header != head]
        shown.columns = [replace(column, _index=place) for place, column in enumerate(kept)]
        return shown


def plain_table(title: str, spare: Sequence[str] = ()) -> FittedTable:
    """Create a table that fits 80 columns, with rules only below the head and at the ends.

    Args:
        title: above the table.
        spare: columns to drop for lack of room, in order.
    """
    table = FittedTable(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.spare = spare
    return table


def add_columns(table: Table, *names: str) -> None:
    """Add columns of numbers."""
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def add_settings(
    table: Table, names: Sequence[str]
) -> Callable[[Mapping[str, str]], Sequence[str]]:
    """Add columns of settings, one for all if more than three; return the function for cells."""
    if len(names) > MOST_COLUMNS:
        table.add_column("settings", overflow="fold")
        return lambda row: [" ".join(f"{n}={row[n]}" for n in names if row.get(n, "-") != "-")]
    add_columns(table, *(n if len(n) <= LONG_HEAD else n.replace(".", ".\n") for n in names))
    return lambda row: [row.get(name, "") for name in names]


MOST_COLUMNS, LONG_HEAD = 3, 10


class PrintableConsole(Console):
    """Console that removes control characters from its input but keeps its own styles."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Clean the text before measurement, so that columns have the width of the shown text."""
        return super().render_str(printable_lines(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render segments without control characters."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


def console() -> Console:
    """Create the console for tables: as wide as the terminal, or 120 columns in a file or pipe."""
    # Without markup, because `loss=[kd,hint]` would be parsed as markup.
    return PrintableConsole(
        width=None if sys.stdout.isatty() else 120, highlight=False, markup=False
    )
