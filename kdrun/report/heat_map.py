"""Tables of numbers as colours."""

from collections.abc import Sequence
from typing import Any

from kdrun.report.figure import plain


def heat_map(axes: Any, values: Sequence[Sequence[float]], low: float, high: float) -> None:
    """Cells with their numbers, first row on top."""
    axes.pcolormesh(values, cmap="Blues", vmin=low, vmax=high, edgecolors="none")
    axes.invert_yaxis()
    axes.grid(visible=False)
    if len(values) > 12:
        return
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            dark = value > low + 0.55 * (high - low)
            axes.text(
                *(column + 0.5, row + 0.5, f"{value:.2f}".lstrip("0") or "0"),
                ha="center",
                va="center",
                color="#ffffff" if dark else "#0b2545",
                fontsize=7.5,
            )


def ticks(axes: Any, columns: Sequence[object], rows: Sequence[object]) -> None:
    """Names at the middle of the cells."""
    turned = 60 if max(len(str(name)) for name in columns) > 3 else 0
    places = [[place + 0.5 for place in range(len(names))] for names in (columns, rows)]
    axes.set_xticks(places[0], [plain(name, 16) for name in columns], rotation=turned)
    axes.set_yticks(places[1], [plain(name, 16) for name in rows])
